package shelf

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"
)

// hookTime bounds one call of a hook.
const hookTime = 10 * time.Second

// hook calls a program when this replica begins and ceases to serve a door: in
// order, one call at a time, and not for what is over already. It is called with
// lose first, for the process before this one may have been killed while it led.
type hook struct {
	program, shelf, replica string
	log                     *slog.Logger

	wants chan bool // one slot: the newest
	turn  sync.Mutex
	stop  chan struct{}
	done  chan struct{}
}

func newHook(program, shelf, replica string, log *slog.Logger) *hook {
	h := &hook{
		program: program, shelf: shelf, replica: replica, log: log,
		wants: make(chan bool, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go h.run()
	return h
}

// want says whether the address is to be here.
func (h *hook) want(here bool) {
	h.turn.Lock()
	defer h.turn.Unlock()
	select {
	case <-h.wants:
	default:
	}
	h.wants <- here
}

// close takes the address away and ends the hook.
func (h *hook) close() {
	close(h.stop)
	<-h.done
}

func (h *hook) run() {
	defer close(h.done)
	here := true // for all that is known
	set := func(to bool) {
		if to != here {
			here = to
			h.call(to)
		}
	}
	set(false)
	for {
		select {
		case to := <-h.wants:
			set(to)
		case <-h.stop:
			set(false)
			return
		}
	}
}

func (h *hook) call(gain bool) {
	what := "lose"
	if gain {
		what = "gain"
	}
	ctx, cancel := context.WithTimeout(context.Background(), hookTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, what)
	cmd.Env = append(os.Environ(), "MIDPLANE_SHELF="+h.shelf, "MIDPLANE_REPLICA="+h.replica)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		h.log.Error("hook of the LAN door failed", "program", h.program, "call", what, "err", err, "output", string(out))
	}
}
