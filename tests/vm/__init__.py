"""Real virtual machines (QEMU without acceleration): the platform's own word, udev, the initrd, the real boot order."""
