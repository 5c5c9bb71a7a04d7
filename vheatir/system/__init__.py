"""What the operating system does: whole files, interrupts, memory handed out."""
