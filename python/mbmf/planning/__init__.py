"""Planning: what is searched, and how."""
