//! TCP: retransmits, connects, resets, round-trip time, bytes.
