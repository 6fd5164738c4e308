//go:build e2e

package difference

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// patience is how long a daemon may take until its guest is connected.
const patience = time.Minute

// bmc is one of the two controllers, by its guest.
type bmc struct {
	name     string
	guest    *vmtest.Guest
	reserved map[string]string // the last reservation, by the command that made it
}

// run starts a daemon, which ends with the test, and connects its guest.
func run(t *testing.T, dir, network, address string, argv ...string) *bmc {
	t.Helper()
	b := &bmc{name: filepath.Base(argv[0]), guest: vmtest.New(vmtest.Options{}), reserved: make(map[string]string)}
	log, err := os.Create(filepath.Join(dir, b.name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		b.guest.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", b.name, said)
		}
		_ = log.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.guest.Dial(ctx, network, address); err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	return b
}

// program is the midplane under test.
func program(t *testing.T, dir string) string {
	t.Helper()
	if bin := os.Getenv("MIDPLANE_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(dir, "midplane")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/midplane-project/midplane/cmd/midplane").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return bin
}

// startNode starts a node that is a server's BMC.
func startNode(t *testing.T) *bmc {
	dir := t.TempDir()
	socket := filepath.Join(dir, "vm")
	b := run(t, dir, "unix", socket, program(t, dir), "node", "--standalone", "--name", "twin", "--dir", filepath.Join(dir, "state"), "--vm", "unix:"+socket)
	b.powered(t)
	return b
}

// powered waits until a node has seen that its VM is there, and its sensors have:
// until then 5 V are not available.
func (b *bmc) powered(t *testing.T) {
	t.Helper()
	const reading, unavailable = "04 2d 26", 0x20
	for deadline := time.Now().Add(patience); b.data(t, reading)[1]&unavailable != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", b.name, b.ask(t, reading))
		}
		time.Sleep(10 * time.Millisecond) // sensors tell nobody
	}
}

// startSim starts an ipmi_sim that is told by a file what it has.
func startSim(t *testing.T, has string) *bmc {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	for name, text := range map[string]string{
		"lan.conf": fmt.Sprintf("name \"twin\"\nset_working_mc 0x20\n  serial 15 127.0.0.1 %s codec VM\n", port),
		"sim.emu":  has,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return run(t, dir, "tcp", net.JoinHostPort("127.0.0.1", port), "ipmi_sim", "-n", "-c", "lan.conf", "-f", "sim.emu", "-s", dir)
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

var reservation = regexp.MustCompile(`\[.*\]`)

// ask gives the answer to a request, both in hex: "06 01" and the data; the
// completion code comes first. A command in brackets stands for the reservation
// that it gave last, 0000h if none.
func (b *bmc) ask(t *testing.T, request string) string {
	t.Helper()
	request = reservation.ReplaceAllStringFunc(request, func(by string) string {
		return cmp.Or(b.reserved[strings.Trim(by, "[]")], "00 00")
	})
	raw := unhex(t, request)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, data, err := b.guest.Do(ctx, ipmb.NetFn(raw[0]), 0, ipmb.Cmd(raw[1]), raw[2:])
	if err != nil || code == ipmb.ErrTimeout || code == ipmb.ErrInitialising {
		t.Fatalf("%s does not answer %s: %v, %v", b.name, request, code, err)
	}
	if len(data) == 2 && code == ipmb.OK {
		b.reserved[request] = fmt.Sprintf("% x", data)
	}
	return strings.TrimSpace(fmt.Sprintf("%02x % x", byte(code), data))
}
