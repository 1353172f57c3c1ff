"""Damaged and hostile model folders: each is refused with one sentence, or read as what it says."""
