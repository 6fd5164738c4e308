//go:build e2e

package attack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// ipmitool gives the command line of ipmitool at a door, and the environment
// that has the password, which would else be seen in the list of processes.
func (d door) ipmitool(args ...string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(d.addr)
	c := exec.Command("ipmitool", append([]string{"-I", "lanplus", "-H", host, "-p", port, "-U", d.user, "-E"}, args...)...)
	c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+d.password)
	return c
}

// freeipmi is one of FreeIPMI's tools at a door, with a home of its own.
func (d door) freeipmi(t *testing.T, tool string, args ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "freeipmi.conf")
	text := fmt.Sprintf("username %s\npassword %s\ndriver-type LAN_2_0\n", d.user, d.password)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(tool, append([]string{"--config-file", file, "-h", d.addr, "--sdr-cache-directory", filepath.Dir(file)}, args...)...)
	c.Env = append(os.Environ(), "HOME="+filepath.Dir(file))
	return c
}

// S10: with the client that people have, too, a guest that made itself administrator
// of its own controller finds every order refused at the others.
func TestAttackS10RealClient(t *testing.T) {
	r := newRack(t)
	own := r.blades[attacker]
	d := own.promote(t)
	if out, err := d.ipmitool("-L", "ADMINISTRATOR", "user", "list", "1").CombinedOutput(); err != nil || !strings.Contains(string(out), "mallory") {
		t.Fatalf("she is administrator of her own: %v\n%s", err, out)
	}
	r.unharmed(func() {
		for _, to := range []string{"0x84", "0x86", "0x20"} {
			at := []string{"-b", "0", "-t", to}
			for _, order := range []string{
				"chassis power off", "chassis power cycle", "picmg deactivate 0", "picmg frucontrol 0 0", "sel clear",
				"user set name 4 mallory", "user set password 2 mallorys", "user enable 4", "mc reset cold",
				"raw 0x00 0x02 0x00", "raw 0x2c 0x0c 0 0 0",
			} {
				own.refused(t, d, append(slices.Clone(at), strings.Fields(order)...))
			}
			if to != "0x20" { // there the first sensor of the name is her own
				own.refused(t, d, append(slices.Clone(at), "sensor", "thresh", "CPU Temp", "unc", "40"))
			}
			for _, transit := range []string{"0x84", "0x86", "0x20", "0x82"} {
				own.refused(t, d, append([]string{"-B", "0", "-T", transit}, append(slices.Clone(at), "raw", "0", "2", "0")...))
			}
		}
	})
	out, err := d.ipmitool("-b", "0", "-t", "0x84", "mc", "info").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Provides Device SDRs") {
		t.Errorf("a read: %v\n%s", err, out)
	}
}

// refused runs ipmitool, which must fail, and leave a record. Of a reset it
// neither looks at the answer nor waits for it.
func (b *blade) refused(t *testing.T, d door, args []string) {
	t.Helper()
	seen := b.recorded()
	out, err := d.ipmitool(args...).CombinedOutput()
	said := slices.Contains(args, "reset") || strings.Contains(string(out), "rsp=0xd4") || strings.Contains(strings.ToLower(string(out)), "privilege")
	if err == nil && !said {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	eventually(t, fmt.Sprintf("an audit record of %q", args), func() bool { return b.recorded() > seen })
}

// S14: a guest writes FRU information that is broken in whatever way; real
// clients that read it may complain, and none of them crashes.
func TestAttackS14RealClients(t *testing.T) {
	b := lone(t)
	good := b.readFRU(t)[:mc.MaxFRU]
	r := rand.New(rand.NewPCG(14, 5208))
	for name, image := range brokenFRUs(r, good) {
		b.writeFRU(t, image)
		var group sync.WaitGroup
		for _, c := range []*exec.Cmd{
			b.door.ipmitool("-v", "fru", "print", "0"),
			b.door.ipmitool("fru", "read", "0", filepath.Join(t.TempDir(), "fru")),
			b.door.freeipmi(t, "ipmi-fru", "--verbose"),
		} {
			group.Go(func() {
				out, err := c.CombinedOutput()
				var exit *exec.ExitError
				if errors.As(err, &exit) && !exit.Exited() || strings.Contains(string(out), "stack smashing") {
					t.Errorf("%s: %s: %v\n%s", name, filepath.Base(c.Path), err, out)
				}
			})
		}
		group.Wait()
	}
	b.writeFRU(t, good)
	if out, err := b.door.ipmitool("fru", "print", "0").CombinedOutput(); err != nil || !strings.Contains(string(out), "Product Name") {
		t.Errorf("the good one again: %v\n%s", err, out)
	}
}

func (b *blade) readFRU(t *testing.T) (out []byte) {
	t.Helper()
	_, info, err := b.guest.Do(t.Context(), ipmb.NetFnStorage, 0, 0x10, []byte{0})
	if err != nil || len(info) < 2 {
		t.Fatal(info, err)
	}
	for size := int(info[0]) | int(info[1])<<8; len(out) < size; {
		code, got, err := b.guest.Do(t.Context(), ipmb.NetFnStorage, 0, 0x11, []byte{0, byte(len(out)), byte(len(out) >> 8), byte(min(32, size-len(out)))})
		if code != 0 || err != nil {
			t.Fatalf("at %d: %v, %v", len(out), code, err)
		}
		out = append(out, got[1:]...)
	}
	return out
}

func (b *blade) writeFRU(t *testing.T, image []byte) {
	t.Helper()
	const chunk = 200
	for at := 0; at < len(image); at += chunk {
		data := append([]byte{0, byte(at), byte(at >> 8)}, image[at:min(at+chunk, len(image))]...)
		if code, _, err := b.guest.Do(t.Context(), ipmb.NetFnStorage, 0, 0x12, data); code != 0 || err != nil {
			t.Fatalf("at %d: %v, %v", at, code, err)
		}
	}
}

// brokenFRUs are images of a good one's length.
func brokenFRUs(r *rand.Rand, good []byte) map[string][]byte {
	all := make(map[string][]byte)
	image := func(name string, change func(b []byte)) {
		b := slices.Clone(good)
		change(b)
		all[name] = b
	}
	fill := func(x byte) func([]byte) {
		return func(b []byte) {
			for i := range b {
				b[i] = x
			}
		}
	}
	// header makes the areas begin where it says, in units of 8, with a checksum that is right.
	header := func(b []byte, internal, chassis, board, product, multi byte) {
		copy(b, []byte{1, internal, chassis, board, product, multi, 0})
		b[7] = ipmb.Checksum(b[:7])
	}
	// area has a checksum that is right, too, if it is within the image.
	area := func(b []byte, at int, body []byte) {
		copy(b[at:], body)
		if end := at + int(body[1])*8; end <= len(b) && end > at {
			b[end-1] = ipmb.Checksum(b[at : end-1])
		}
	}
	image("zeros", fill(0))
	image("ones", fill(0xFF))
	image("areas beyond the end", func(b []byte) { header(b, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB) })
	image("all areas in one place", func(b []byte) { header(b, 1, 1, 1, 1, 1) })
	image("areas in the header", func(b []byte) { header(b, 0, 0, 0, 0, 0) })
	image("an area without length", func(b []byte) { header(b, 0, 0, 1, 0, 0); area(b, 8, []byte{1, 0, 0}) })
	image("an area longer than all", func(b []byte) { header(b, 0, 1, 0, 0, 0); area(b, 8, []byte{1, 0xFF, 0x17}) })
	image("fields beyond their area", func(b []byte) {
		header(b, 0, 0, 1, 0, 0)
		area(b, 8, append([]byte{1, 3, 25, 1, 2, 3}, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF))
	})
	image("fields without an end", func(b []byte) {
		header(b, 0, 0, 0, 1, 0)
		area(b, 8, append([]byte{1, 0x20, 25}, slices.Repeat([]byte{0xC2, 'a', 'b'}, 80)...))
	})
	image("long fields", func(b []byte) {
		header(b, 0, 1, 0, 0, 0)
		area(b, 8, append([]byte{1, 0x20, 0x17}, slices.Repeat(append([]byte{0xFF}, slices.Repeat([]byte{'A'}, 63)...), 3)...))
	})
	image("control characters", func(b []byte) {
		header(b, 0, 0, 0, 1, 0)
		area(b, 8, append([]byte{1, 4, 25, 0xC8}, "\x1b[31m%n%\xC6\x00\x07\x08\x7f\x9b\n\xC1"...))
	})
	image("six bits, BCD and UCS", func(b []byte) {
		header(b, 0, 0, 0, 1, 0)
		area(b, 8, []byte{1, 4, 0x19, 0x9F, 0x5F, 0x1F, 0x9F, 0xC1})
	})
	image("records without an end", func(b []byte) {
		header(b, 0, 0, 0, 0, 1)
		for at := 8; at+5 <= len(b); at += 5 {
			copy(b[at:], []byte{0xC0, 0x02, 0, 0, 0x3E})
		}
	})
	image("a record longer than all", func(b []byte) {
		header(b, 0, 0, 0, 0, 1)
		copy(b[8:], []byte{0xC0, 0x82, 0xFF, 0, 0})
		b[12] = ipmb.Checksum(b[8:12])
	})
	image("PICMG records that lie", func(b []byte) {
		header(b, 0, 0, 0, 0, 1)
		for i, id := range []byte{0x04, 0x10, 0x11, 0x12, 0x14, 0x1B} {
			at := 8 + 17*i
			body := []byte{0x5A, 0x31, 0x00, id, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
			copy(b[at:], []byte{0xC0, 0x02, byte(len(body)), ipmb.Checksum(body), 0})
			b[at+4] = ipmb.Checksum(b[at : at+4])
			copy(b[at+5:], body)
		}
	})
	for i := range 6 {
		image(fmt.Sprintf("flipped %d", i), func(b []byte) {
			for range 1 + i*3 {
				b[r.IntN(min(len(b), 200))] = byte(r.Uint32())
			}
			if i%2 == 0 {
				b[7] = ipmb.Checksum(b[:7])
			}
		})
	}
	return all
}
