"""Settings of all tests."""

import nengo

# no test may depend on decoders that an earlier run left on the disk
nengo.rc["decoder_cache"]["enabled"] = "False"
