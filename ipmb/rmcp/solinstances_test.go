package rmcp

import (
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// ports are those of several systems.
type ports map[uint8]Console

func (p ports) Open(ctx context.Context, o Opening) (Line, error) {
	if one := p[o.Instance]; one != nil {
		return one.Open(ctx, o)
	}
	return nil, ipmb.ErrNotPresent
}

// slowPort opens when it is told to.
type slowPort struct {
	asked chan struct{}
	opens chan *port
	over  <-chan struct{} // the test
}

func (p slowPort) Open(context.Context, Opening) (Line, error) {
	select {
	case p.asked <- struct{}{}:
	case <-p.over:
	}
	select {
	case one := <-p.opens:
		if one == nil { // nobody brought it in time
			return nil, context.DeadlineExceeded
		}
		return one, nil
	case <-p.over:
		return nil, ipmb.ErrNotPresent
	}
}

func activateInstance(n byte) []byte { return []byte{1, n, 0xC0, 0, 0, 0} }

// activated is the answer to Activate Payload at the door that has another
// port than its socket.
var activated = []byte{0, 0, 0, 0, 0, 3, 1, 3, 1, 0x6F, 0x02, 0xFF, 0xFF}

// withPorts is a site with several ports.
func withPorts(t *testing.T, p ports) *site {
	s := newSite(t)
	s.params = map[uint8][]byte{
		mc.SOLEnable: {1}, mc.SOLAuth: {0xC0 | byte(ipmb.PrivilegeAdmin)}, mc.SOLAccumulate: {1, 10}, mc.SOLRetry: {7, 255},
	}
	s.sol.Console, s.sol.Instances, s.sol.Port = p, maxInstance, portRMCP
	s.open()
	return s
}

// Each instance is a port of its own, and has its own session.
func TestSOLInstances(t *testing.T) {
	first, last := newPort(), newPort()
	s := withPorts(t, ports{1: first, 15: last})
	c, other := s.admin(), s.admin()
	c.want("one", c.do(6, 0x48, activateInstance(1)...), activated...)
	c.want("a second one by the same session", c.do(6, 0x48, activateInstance(15)...), 0x82)
	other.want("nobody is there", other.do(6, 0x48, activateInstance(2)...), 0xCB)
	other.want("active elsewhere", other.do(6, 0x48, activateInstance(1)...), 0x80)
	other.want("the last", other.do(6, 0x48, activateInstance(15)...), activated...)
	c.want("two", c.do(6, 0x4A, 1), 0, 15, 1, 0x40)
	c.want("whose", c.do(6, 0x4B, 1, 15), append(append([]byte{0}, word(other.id)...), 15, 0, 0, 0, 0, 0, 0, 0)...)
	c.want("encryption of the other one", c.do(6, 0x55, 1, 15, 1), 0x83)
	last.says(t, "fifteenth.")
	other.wantSOL("output", 1, 0, 0, 0, "fifteenth.")
	first.says(t, "0123456789")
	c.wantSOL("output", 1, 0, 0, 0, "0123456789")
	other.sendSOL(solPacket{Seq: 1, Ack: 1, Count: 10, Data: []byte("x")})
	other.wantSOL("input", 0, 1, 1, 0, "")
	hears(t, last, "x")
	other.want("deactivate", other.do(6, 0x49, activateInstance(15)...), 0)
	next(t, last.closed)
	c.want("one", c.do(6, 0x4A, 1), 0, 15, 1, 0)
}

// While a port opens its place is taken, and may be given up.
func TestSOLOpensSlowly(t *testing.T) {
	slow := slowPort{make(chan struct{}), make(chan *port), t.Context().Done()}
	s := withPorts(t, ports{3: slow})
	c, other := s.admin(), s.admin()
	activate := func() <-chan []byte {
		answer := make(chan []byte, 1)
		go func() {
			defer close(answer)
			answer <- c.do(6, 0x48, activateInstance(3)...)
		}()
		next(t, slow.asked)
		return answer
	}
	answer := activate()
	other.want("taken", other.do(6, 0x48, activateInstance(3)...), 0x80)
	p := newPort()
	other.want("given up", other.do(6, 0x49, activateInstance(3)...), 0)
	slow.opens <- p
	other.want("to who asked", next(t, answer), 0xD5)
	next(t, p.closed)
	answer = activate()
	slow.opens <- nil
	other.want("too late", next(t, answer), byte(ipmb.ErrDestination))
	other.want("nobody", other.do(6, 0x4A, 1), 0, 15, 0, 0)
}
