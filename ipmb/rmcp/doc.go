// Package rmcp is the LAN door of a controller: RMCP, ASF presence and IPMI
// 2.0 RMCP+ sessions over UDP (IPMI 2.0 §13).
//
//	RMCP 4 | 06, payload type, session id 4, seq 4, length 2 | payload | pad FF, pad length, 07, auth code
//
// Files: header.go and packet.go frame datagrams, rakp.go has the messages of
// a login, crypto.go its keys, handshake.go what a login does, session.go and
// table.go what comes of it, commands.go the rows, door.go the socket. Serial
// over LAN is in sol.go (packets), solstate.go (what is done with them),
// solactive.go (a payload at work) and solcommands.go (its rows).
//
// Sessions of IPMI 1.5 are not served: their messages can be forged. Its frame
// is, for the questions that clients ask before they log in.
package rmcp
