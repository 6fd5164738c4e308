package port

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/internal/trust"
)

// callerOf asks the kernel who connected (SO_PEERCRED, unix(7)). The user that
// runs the daemon and root are admins, named "uid-N" and without a cluster;
// anybody else whom the socket's mode lets in has no identity.
func callerOf(conn *net.UnixConn) (trust.Identity, error) {
	uid, err := PeerUID(conn)
	if err != nil {
		return trust.Identity{}, fmt.Errorf("who calls on %s: %w", conn.LocalAddr(), err)
	}
	return localIdentity(uid, os.Geteuid()), nil
}

func localIdentity(caller uint32, daemon int) trust.Identity {
	if caller != 0 && int(caller) != daemon {
		return trust.Identity{}
	}
	return trust.Identity{Role: trust.Admin, Name: fmt.Sprintf("uid-%d", caller)}
}

// PeerUID is the user at the other end of a Unix socket, as it was when it
// connected (SO_PEERCRED, unix(7)).
func PeerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
