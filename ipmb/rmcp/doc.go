// Package rmcp is the LAN door of a controller: RMCP, ASF presence and IPMI
// 2.0 RMCP+ sessions over UDP (IPMI 2.0 §13).
//
//	RMCP 4 | 06, payload type, session id 4, seq 4, length 2 | payload | pad FF, pad length, 07, auth code
//
// Files: header.go and packet.go frame datagrams, rakp.go has the messages of
// a login, crypto.go and weak.go its keys, handshake.go what a login does, v15*.go
// the same for IPMI 1.5, guard.go whose passwords are looked at, session.go and
// table.go what comes of it, commands.go the rows, door.go what is answered,
// reader.go who reads, socket.go from what. Serial over LAN is in sol.go
// (packets), solstate.go (what is done with them), solactive.go (a payload at
// work) and solcommands.go (its rows).
//
// By default only suites 17 and 3 are served, and no sessions of IPMI 1.5. Who
// wants more says so in Settings, and each start warns of what is less safe.
package rmcp
