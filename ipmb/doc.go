// Package ipmb is the message plane: addresses, network functions, completion
// codes, requests, handlers and the frames in which they travel on the bus.
//
// A controller is a [Handler], as in net/http: it takes a [Request] with its
// [Origin] and gives a [Response]. A [Mux] routes by (NetFn, defining body,
// Cmd); each command is one row of a table, [Command], from which the
// privilege check, the command list and the documentation are made.
//
// On the bus a message is a [Frame]:
//
//	request   rsSA  netFn<<2|rsLUN     chk1  rqSA  rqSeq<<2|rqLUN  cmd  data…      chk2
//	response  rqSA  (netFn|1)<<2|rqLUN chk1  rsSA  rqSeq<<2|rsLUN  cmd  cc  data…  chk2
//
// The package knows no network, no storage and no clock of its own.
package ipmb
