package attack

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// patience is how long an answer that must come may take.
const patience = time.Minute

// door is a listener and somebody who may come in.
type door struct {
	name           string
	addr           string
	user, password string
}

// console is an attacker, or an honest client, on a UDP socket.
type console struct {
	t    testing.TB
	door door
	conn net.Conn
	tag  byte // of the last ping

	suite
	role   byte
	id     uint32 // what the controller calls the session
	random [16]byte
	theirs []byte
	guid   []byte
	keys   keys
	seq    uint32
	rqSeq  uint8
}

const consoleID = 0xA1B2C3D4

// console opens a socket at the door; nothing is said yet.
func (d door) console(t testing.TB) *console {
	t.Helper()
	return d.consoleAt(t, nil)
}

// sources counts addresses for those who guess: a door keeps each waiting by
// himself.
var sources atomic.Uint32

// stranger is a console of an address that nobody had before.
func (d door) stranger(t testing.TB) *console {
	t.Helper()
	n := sources.Add(1)
	return d.consoleAt(t, &net.UDPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))})
}

func (d door) consoleAt(t testing.TB, from *net.UDPAddr) *console {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &console{t: t, door: d, conn: conn, suite: suite17, role: 0x14, random: [16]byte{1, 2, 3}}
}

// login gives a console with a session of the door's own user.
func (d door) login(t testing.TB) *console {
	t.Helper()
	c := d.console(t)
	if got := c.logIn(); got != 0 {
		t.Fatalf("%s: login: status %02x", d.name, got)
	}
	return c
}

func (c *console) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// read gives the next datagram; nil if there is none in time.
func (c *console) read(wait time.Duration) []byte {
	buf := make([]byte, 4096)
	_ = c.conn.SetReadDeadline(time.Now().Add(wait))
	n, err := c.conn.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// settle gives all that is answered until the answer to a ping: what was sent
// before has been dealt with then, or dropped by a limit, as pings may be.
func (c *console) settle() (all [][]byte) {
	c.t.Helper()
	c.tag++
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		c.send(ping(c.tag))
		const pause = 200 * time.Millisecond // then another ping: this one was dropped
		for b := c.read(pause); b != nil; b = c.read(pause) {
			if b[3] == 6 && b[9] == c.tag {
				return all
			}
			if b[3] != 6 { // an earlier ping's, which was only late
				all = append(all, b)
			}
		}
	}
	c.t.Fatalf("%s: no pong, the door is dead", c.door.name)
	return nil
}

// ask sends a message of a login as clients do, again where there is no answer:
// doors bound how many proofs they look at. It gives the answer's payload.
func (c *console) ask(kind byte, payload []byte) []byte {
	c.t.Helper()
	for range 10 {
		c.send(plus(kind, 0, 0, payload))
		answer := kind + 1
		if kind == payloadIPMI {
			answer = kind
		}
		if b := c.answer(answer, time.Second); b != nil {
			return b
		}
	}
	c.t.Fatalf("%s: no answer to payload type %02x", c.door.name, kind)
	return nil
}

// answer waits for a payload of a type outside a session; nil: there is none in
// time.
func (c *console) answer(kind byte, wait time.Duration) []byte {
	for deadline := time.Now().Add(wait); ; {
		b := c.read(time.Until(deadline))
		if b == nil || len(b) >= 18 && b[3] == 7 && b[5] == kind {
			return b[min(16, len(b)):]
		}
	}
}

// openRequest is RMCP+ Open Session Request for a suite.
func (c *console) openRequest() []byte {
	b := append([]byte{7, 0, 0, 0}, word(consoleID)...)
	for i, a := range []byte{c.auth, c.integrity, c.confidentiality} {
		b = append(b, byte(i), 0, 0, 8, a, 0, 0, 0)
	}
	return b
}

// rakp1 is RAKP Message 1.
func (c *console) rakp1() []byte {
	b := append(append([]byte{8, 0, 0, 0}, word(c.id)...), c.random[:]...)
	return append(append(b, c.role, 0, 0, byte(len(c.door.user))), c.door.user...)
}

// rakp3 is RAKP Message 3, the proof.
func (c *console) rakp3() []byte {
	code := c.mac([]byte(c.door.password), c.theirs, word(consoleID), []byte{c.role, byte(len(c.door.user))}, []byte(c.door.user))
	return append(append([]byte{9, 0, 0, 0}, word(c.id)...), code...)
}

// begin goes as far as RAKP Message 2.
func (c *console) begin() (status byte) {
	c.t.Helper()
	b := c.ask(payloadOpen, c.openRequest())
	if b[1] != 0 {
		return b[1]
	}
	c.id = binary.LittleEndian.Uint32(b[8:])
	if b = c.ask(payloadRAKP1, c.rakp1()); b[1] != 0 {
		return b[1]
	}
	c.theirs, c.guid = bytes.Clone(b[8:24]), bytes.Clone(b[24:40])
	return 0
}

// logIn goes through a login, and checks what the controller proves.
func (c *console) logIn() (status byte) {
	c.t.Helper()
	if status := c.begin(); status != 0 {
		return status
	}
	b := c.ask(payloadRAKP3, c.rakp3())
	if b[1] != 0 {
		return b[1]
	}
	sik := c.mac([]byte(c.door.password), c.random[:], c.theirs, []byte{c.role, byte(len(c.door.user))}, []byte(c.door.user))
	if want := c.mac(sik, c.random[:], word(c.id), c.guid)[:c.code]; !bytes.Equal(b[8:], want) {
		c.t.Fatalf("%s: RAKP 4 proves % x, want % x", c.door.name, b[8:], want)
	}
	c.keys, c.seq = c.suite.keys(sik), 0
	return 0
}

// raise gives the session the privilege of its login.
func (c *console) raise() *console {
	c.t.Helper()
	if got := c.do(ipmb.NetFnApp, 0x3B, c.role&0x0F); got[0] != 0 {
		c.t.Fatalf("%s: privilege: % x", c.door.name, got)
	}
	return c
}

// do asks in the session as clients do, up to four times: the completion code
// and the data.
func (c *console) do(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	c.t.Helper()
	c.rqSeq = (c.rqSeq + 1) % ipmb.MaxSequence
	return c.tell(message(c.rqSeq, n, cmd, data...))
}

// tell sends a message and gives the answer to it.
func (c *console) tell(m []byte) []byte {
	c.t.Helper()
	for range 4 {
		c.seq++
		c.send(c.keys.seal(payloadIPMI, c.id, c.seq, m))
		for deadline := time.Now().Add(patience); ; {
			b := c.read(time.Until(deadline))
			if b == nil {
				break
			}
			f, err := ipmb.ParseFrame(c.keys.open(b))
			if err == nil && f.Seq == m[4]>>2 && f.Cmd == ipmb.Cmd(m[5]) {
				return f.Data
			}
		}
	}
	c.t.Fatalf("%s: no answer to four tries", c.door.name)
	return nil
}

// bridged asks another controller by Send Message, as ipmitool's -t does: the
// code of the Send Message and, if it is 00h, what the other answers.
func (c *console) bridged(inner []byte) (code byte, answer ipmb.Frame) {
	c.t.Helper()
	got := c.do(ipmb.NetFnApp, ipmb.CmdSendMessage, append([]byte{0x40}, inner...)...)
	if got[0] != 0 {
		return got[0], ipmb.Frame{}
	}
	f, err := ipmb.ParseFrame(c.keys.open(c.read(patience)))
	if err != nil {
		c.t.Fatalf("%s: no answer behind the bridge: %v", c.door.name, err)
	}
	return 0, f
}
