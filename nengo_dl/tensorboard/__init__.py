"""What TensorBoard shows."""
