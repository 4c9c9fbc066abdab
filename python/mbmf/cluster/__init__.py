"""Work that can be somewhere else, to the same bits: threads here, processes here, or a Ray cluster."""
