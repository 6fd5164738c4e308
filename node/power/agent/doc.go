// Package agent speaks to the QEMU guest agent inside a VM: it runs programs there and copies files both ways.
//
// The agent answers JSON lines on a virtio-serial port that the host sees as a Unix socket.
// That port is a plain byte pipe without sessions: an answer meant for an earlier client can still be in it,
// and requests written while no agent runs wait there until one starts. So each connection begins with
//
//	0xFF {"execute": "guest-sync-delimited", "arguments": {"id": N}}
//
// and everything before the answer 0xFF {"return": N} is thrown away. A request that is abandoned half way takes its
// connection with it; replies carry no id, so that is what keeps the next caller from reading the wrong one.
// Source: QEMU qga/qapi-schema.json.
package agent
