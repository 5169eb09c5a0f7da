# What `packer init` fetches. In a file of its own: Packer before 1.7 has the QEMU builder in it, and cannot read this.

packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.1.0"
    }
  }
}
