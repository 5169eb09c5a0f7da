"""Peers: which machines on the segment claim the identity that this one claims, and who keeps it.

The protocol alone: frames in, effects out. It opens no socket, reads no clock, draws no random number and never looks
at or changes a link; the caller does, and hands in `now`, the nonce and the payloads.

* A machine **probes** its claims before it says READY, **announces** them afterwards, and whoever hears a probe or an
  announcement of a claim it holds itself answers with a **conflict**, as in RFC 5227 and RFC 6762 section 8.
* **Precedence.** READY keeps over all, then JOINED; among probing machines the lowest nonce keeps. Two READY or two
  JOINED machines dispute: both keep, both report, and neither JOINED one is clear.
* **Liveness.** Only a frame that names our own nonce, random for each boot, is evidence. A recording of an earlier
  boot, or of what others said to each other, provokes an answer at most and decides nothing.
* **Both learn.** A conflict is repeated a few times until its addressee says that it has *heard*: on a sound segment
  one answer and one acknowledgement settle a contest, on a lossy one a few more.
* **Cost.** An uncontested probe is answered by nobody. However many peers contest at one instant, a machine answers
  once in each interval, and the answer names all of them.

Limits: a frame recorded in this boot and addressed to us is evidence for as long as we hold its claims; it prolongs a
contest that was real, and cannot make one. Two machines resumed from one memory snapshot share a nonce and take one
another for an echo (`Census.echoes` counts those), until a caller draws a new nonce.
"""
