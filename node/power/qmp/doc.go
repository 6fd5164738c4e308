// Package qmp speaks the QEMU Machine Protocol, through which a node watches and commands its VM.
//
// One connection carries JSON objects, one per line:
//
//	server: {"QMP": {"version": {...}, "capabilities": [...]}}    greeting
//	client: {"execute": "NAME", "arguments": {...}, "id": N}
//	server: {"return": ..., "id": N} or {"error": {"class", "desc"}, "id": N}
//	server: {"event": "NAME", "data": {...}, "timestamp": {"seconds", "microseconds"}}
//
// A [Client] serves many callers at once and ends with its connection; dialling again is the caller's job.
// Source: QEMU docs/interop/qmp-spec.
package qmp
