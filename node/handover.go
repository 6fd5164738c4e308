package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/node/vm"
)

// A planned restart hands the VM's connection over, since a guest whose
// controller is away is told D2h, and its watchdog driver may reboot it for
// that. The successor connects to a socket and says so. The predecessor stops
// between two of the guest's messages, ends, lets go of all files, and then
// sends the connection with what is known of it; the end of the stream says
// that it is gone. What was under way on the bus is in the ledger.
const (
	handoverRequest = "midplane: take over\n"
	// detachWithin bounds the wait for the guest's request that is being
	// served; the guest itself waits four seconds for all of this.
	detachWithin = time.Second
	// handoverWithin bounds the whole.
	handoverWithin = 15 * time.Second
	helloWithin    = time.Second
)

// ErrHandedOver is how Run ends when another process has taken the node over.
var ErrHandedOver = errors.New("another process has taken this node over")

// Handover is what a node left to the next process.
type Handover struct {
	state vm.State
	file  *os.File // the VM's connection; nil when there was none
}

// Close drops a VM's connection that nobody resumed.
func (h *Handover) Close() error {
	if h == nil || h.file == nil {
		return nil
	}
	return h.file.Close()
}

// handoverPath is where a running node listens for its successor.
func (c *Config) handoverPath() string {
	if path, ok := strings.CutPrefix(c.API, "unix:"); ok {
		return path + ".next"
	}
	return filepath.Join(c.Dir, "next.sock")
}

// TakeOver makes a running node with this configuration end in favour of the
// caller, and waits until it has. It gives nil when no such node runs.
func TakeOver(ctx context.Context, cfg Config) (*Handover, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", cfg.handoverPath())
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	h, err := receiveHandover(conn.(*net.UnixConn))
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	return h, nil
}

func receiveHandover(conn *net.UnixConn) (*Handover, error) {
	_ = conn.SetDeadline(time.Now().Add(handoverWithin))
	if _, err := io.WriteString(conn, handoverRequest); err != nil {
		return nil, err
	}
	h := &Handover{}
	var text []byte
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			break
		}
		if err == nil && oobn > 0 && h.file == nil {
			h.file, err = receivedFile(oob[:oobn])
		}
		if err != nil {
			return nil, errors.Join(err, h.Close())
		}
		text = append(text, buf[:n]...)
	}
	if err := json.Unmarshal(text, &h.state); err != nil {
		return nil, errors.Join(fmt.Errorf("the other process ended without a word: %w", err), h.Close())
	}
	return h, nil
}

func receivedFile(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	return os.NewFile(uintptr(fds[0]), "vm"), nil
}

// ListenSuccessor listens for the process that will take over from this one,
// for Options.Successor.
func ListenSuccessor(cfg Config) (net.Listener, error) {
	path := cfg.handoverPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return port.ListenUnix(path, defaultSocketMode, "")
}

// heir is the process that takes over, and what it gets.
type heir struct {
	conn  *net.UnixConn
	state vm.State
	file  *os.File
}

// send gives the heir everything. It is the last act of a node.
func (h *heir) send() error {
	defer h.conn.Close()
	text, err := json.Marshal(h.state)
	if err != nil {
		return err
	}
	var rights []byte
	if h.file != nil {
		defer h.file.Close()
		rights = unix.UnixRights(int(h.file.Fd()))
	}
	_ = h.conn.SetWriteDeadline(time.Now().Add(handoverWithin))
	n, _, err := h.conn.WriteMsgUnix(text, rights, nil)
	if err == nil && n < len(text) {
		_, err = h.conn.Write(text[n:])
	}
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	return nil
}

// awaitHeir waits for a successor until ctx ends. When one has come the
// guest's door is closed and the error is ErrHandedOver.
func (n *Node) awaitHeir(ctx context.Context, ln net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	defer ln.Close()
	select {
	case <-n.resumed: // what this process took over must be its own before it can go on
	case <-ctx.Done():
		return nil
	}
	for {
		conn, err := port.Accept(ctx, ln)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listen for a successor: %w", err)
		}
		if c, ok := conn.(*net.UnixConn); ok && wantsNode(c, n.log) {
			n.detach(ctx, c)
			return ErrHandedOver
		}
		_ = conn.Close()
	}
}

// wantsNode reports whether conn is a successor: a process of the same user
// that says so. Others look whether somebody listens, and go.
func wantsNode(conn *net.UnixConn, log *slog.Logger) bool {
	if uid, err := port.PeerUID(conn); err != nil || int(uid) != os.Geteuid() {
		log.Warn("a stranger asked for the node", "uid", uid, "err", err)
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(helloWithin))
	hello := make([]byte, len(handoverRequest))
	_, err := io.ReadFull(conn, hello)
	return err == nil && string(hello) == handoverRequest
}

// detach takes the VM's connection from the door. What cannot be handed over
// is closed as at any other end, and the successor finds its way as after that.
func (n *Node) detach(ctx context.Context, conn *net.UnixConn) {
	n.log.Info("handing over to another process")
	ctx, cancel := context.WithTimeout(ctx, detachWithin)
	defer cancel()
	st, file, err := n.door.Detach(ctx)
	if err != nil {
		n.log.Warn("VM's connection not handed over", "err", err)
	}
	n.heir = &heir{conn, st, file}
}
