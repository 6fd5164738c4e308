// Package sel is the format of system event log records and of the event
// messages that become such records.
//
//	02      id 2  02    time 4  generator 2  rev  sensor type  number  dir|event type  data 3
//	C0–DF   id 2  type  time 4  manufacturer 3  data 6
//	E0–FF   id 2  type  data 13
//
// All numbers are little-endian (IPMI 2.0 §32).
package sel
