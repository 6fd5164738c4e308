// Package serial is the doors of a controller that are serial lines: a guest's
// second serial port, or whoever connects to a socket in its place.
//
// A line speaks one of four modes. All carry one request at a time and its
// answer; they differ in how the bytes look and in who may speak:
//
//	basic     A0 frame A5   an IPMB frame with escapes; A6 is the handshake
//	terminal  [18 00 01]    hex of NetFn/LUN, sequence/bridge, command, data; and text: [SYS PWD …]
//	direct    as basic, without sessions, as OpenIPMI's simulator calls it
//	radisys   hex of an IPMB frame, then CR; other addresses than the controller's are bridged
//
// The specification has sessions on basic and terminal mode: who speaks may
// nothing until a user has logged in, unless the port is configured to give a
// privilege without. A session ends with its line.
package serial
