// Package lab turns a shelf.yaml into a running shelf and back: state
// directories, certificates, the daemons' files, and the processes under a
// background supervisor.
//
// Where things are (see [Home]):
//
//	STATE/NAME/shelf.yaml     the shelf as it was last brought up
//	STATE/NAME/lab.json       what was chosen once: cluster ID, id, ports
//	STATE/NAME/pki/           certificates
//	STATE/NAME/replicas/shmN/ STATE/NAME/nodes/NAME/   the daemons' own state
//	STATE/NAME/run/           what runs, see [supervise]
//	RUN/NAME/*.sock           sockets
//
// The command's verbs use it like this:
//
//	l, err := lab.Find(flagShelf)           // or an error that lists what there is
//	t, err := l.ResolveTarget("blade1")     // 2, blade1, 0x84 or shelf
//	conn, err := l.NodeAPI(t.Name).Dial()   // gRPC over the node's Unix socket
//	for _, e := range l.ReplicaAPIs() { … } // e.Name, e.Unix, e.Address
//	creds, err := l.AdminCredentials()      // for e.Address, over TLS
package lab
