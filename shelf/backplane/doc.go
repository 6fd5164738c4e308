// Package backplane is the IPMB switch of one replica: nodes attach to it by a
// stream each, and it passes their frames to each other, to the shelf manager
// at 0x20, and by one hop to another replica. It holds nothing back and
// resends nothing: only the sender of a request does.
package backplane
