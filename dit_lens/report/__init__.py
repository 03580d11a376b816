"""One page of results that opens from disk: what was found, over what it was found on."""
