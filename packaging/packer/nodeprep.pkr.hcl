# A template from Debian's cloud image, by QEMU: booted once, furnished over SSH, sealed, left as output/template.qcow2.
#
#   make deb
#   ssh-keygen -q -t ed25519 -N "" -f packer.key
#   packer init packaging/packer
#   packer build packaging/packer
#
# Packer before 1.7 has no plugins to fetch: packer build packaging/packer/nodeprep.pkr.hcl

variable "image" {
  type    = string
  default = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
}

variable "image_checksum" {
  type    = string
  default = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
}

variable "package" {
  type    = string
  default = "dist/nodeprep_0.1.0-1_all.deb"
}

variable "configuration" {
  type        = string
  default     = "packaging/packer/site.toml"
  description = "What is to be in /etc/nodeprep/nodeprep.toml.d/50-site.toml."
}

variable "key" {
  type        = string
  default     = "packer.key"
  description = "The private half of a key that is made for this build; the public one lies beside it as .pub."
}

variable "accelerator" {
  type    = string
  default = "kvm"
}

source "qemu" "template" {
  iso_url          = var.image
  iso_checksum     = var.image_checksum
  disk_image       = true
  disk_size        = "8G"
  format           = "qcow2"
  accelerator      = var.accelerator
  cpus             = 2
  memory           = 2048
  headless         = true
  output_directory = "output"
  vm_name          = "template.qcow2"

  # A seed for cloud-init, on a CD: it is no part of the disk, and clones do not inherit it. The user data takes the key
  # from the CD, so that none of these files has to be made for this build.
  cd_label = "cidata"
  cd_files = [
    "packaging/packer/seed/meta-data",
    "packaging/packer/seed/network-config",
    "packaging/packer/seed/user-data",
    "${var.key}.pub",
  ]

  communicator         = "ssh"
  ssh_username         = "root"
  ssh_private_key_file = var.key
  ssh_timeout          = "20m"

  # The last that is done over SSH: it leaves sshd without keys, and nobody's key in root's account.
  shutdown_command = "rm -f /root/.ssh/authorized_keys && nodeprep seal --poweroff"
  shutdown_timeout = "10m"
}

build {
  sources = ["source.qemu.template"]

  provisioner "shell" {
    inline           = ["cloud-init status --wait --long"]
    valid_exit_codes = [0, 2] # 2: done, with a complaint, as later versions of cloud-init tell apart
  }

  provisioner "file" {
    source      = var.package
    destination = "/var/cache/nodeprep.deb"
  }

  provisioner "shell" {
    environment_vars = ["DEBIAN_FRONTEND=noninteractive"]
    inline = [
      "apt-get --quiet update",
      "apt-get --quiet --yes --no-install-recommends install /var/cache/nodeprep.deb",
    ]
  }

  provisioner "file" {
    source      = var.configuration
    destination = "/etc/nodeprep/nodeprep.toml.d/50-site.toml"
  }
}
