"""Blemishes: what is said of an image that has something baked in; rows of the table in `messages`."""

from __future__ import annotations

BLEMISHES = (
    (
        "baked-in",
        "9c20eed1f37f44d6ba31f02029ae0692",
        "An identity is baked into the image",
        "Every clone starts with it, and shares it until nodeprep has renewed it.",
        "`nodeprep seal`.",
    ),
    (
        "not-sealed",
        "7e07fdea9ba04210b0083a45c9e1516f",
        "The image is not sealed",
        "What boots from it is not known to be a first boot, or not all of the template's was removed.",
        "`nodeprep seal`.",
    ),
    (
        "joined-image",
        "3241e6f0b9bc4b1d9882ace10d1e5425",
        "The image is a member of a cluster",
        "Its clones would be the same member: they are held, and never become ready by themselves.",
        "Make it leave the cluster, then `nodeprep seal`; or `nodeprep seal --reset-joined`.",
    ),
    (
        "machine-id-file",
        "5811bd4d49df4dd18a9bef7bd3ced531",
        "The file of the machine ID is not as systemd wants it in an image",
        "Where it is missing or says uninitialized, systemd applies the presets of units at the first boot.",
        "Make it an empty file.",
    ),
    (
        "mac-in-profile",
        "95164b42454143dd85755d1a8d3a1dad",
        "A network profile names a MAC",
        "One that is matched leaves the link of every clone down; one that is set makes all clones bear it.",
        "Match by the name of the link, and take the line that sets the MAC out.",
    ),
    (
        "static-address",
        "fc339e0c0a9949e8b48a1a7b2ba22264",
        "A network profile has a static address",
        "Every clone answers for it, and of those that meet all but one are held, by `address.on_conflict`.",
        'Use DHCP, or set `address.on_conflict` to "pool" or "dhcp" (nodeprep.toml(5)).',
    ),
    (
        "no-datasource",
        "c88574a605fe47f4a0903c5e4b31624b",
        "cloud-init is tied to no datasource",
        "No clone is ever a new instance to it, and what the cloud passes to a clone is not heard.",
        "Remove the drop-in with datasource_list: [ None ].",
    ),
    (
        "cloud-init-seed",
        "7f59acae6690415e80e1de646b93483a",
        "A seed of cloud-init is in the image",
        "All clones have the instance ID, the hostname and the users that it names.",
        "`cloud-init clean --seed`, or pass the seed to each clone from outside.",
    ),
)
