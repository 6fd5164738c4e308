package qmptest

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// act is the VM behind the monitor: what QEMU 7.2 does for each command that the node uses.
func (s *Server) act(command string, arguments json.RawMessage) (any, error) {
	switch command {
	case "qmp_capabilities", "inject-nmi":
		return nil, nil
	case "set-action":
		return nil, json.Unmarshal(arguments, &s.actions)
	case "query-status":
		return map[string]any{"status": s.status, "running": s.status == "running"}, nil
	case "query-cpus-fast":
		return []map[string]any{{"cpu-index": 0, "thread-id": os.Getpid()}, {"cpu-index": 1, "thread-id": os.Getpid()}}, nil
	case "query-uuid":
		return map[string]string{"UUID": s.uuid}, nil
	case "stop":
		s.pause("paused")
	case "cont":
		return nil, s.resume()
	case "system_reset":
		s.reset(false, "host-qmp-system-reset")
	case "system_powerdown":
		s.emit("POWERDOWN", nil)
		if s.obeys {
			s.poweroff()
		}
	case "quit":
		s.emit("SHUTDOWN", map[string]any{"guest": false, "reason": "host-qmp-quit"})
	default:
		return nil, fmt.Errorf("The command %s has not been found", command)
	}
	return nil, nil
}

func (s *Server) pause(status string) {
	if s.status == "running" {
		s.status = status
		s.emit("STOP", nil)
	}
}

func (s *Server) resume() error {
	switch s.status {
	case "shutdown":
		return fmt.Errorf("Resetting the Virtual Machine is required")
	case "running":
	default:
		s.emit("RESUME", nil)
		s.status = "running"
	}
	return nil
}

// reset resets the VM. Firmware that runs asks for a second one. Its boot takes a while, so the next
// reset is later by QEMU's clock.
func (s *Server) reset(guest bool, reason string) {
	if s.firmware {
		s.ahead += time.Minute
	}
	s.emit("RESET", map[string]any{"guest": guest, "reason": reason})
	switch {
	case s.status != "running":
		s.status = "prelaunch"
	case s.firmware:
		s.emit("RESET", map[string]any{"guest": true, "reason": "guest-reset"})
	}
}

// poweroff is what the guest's own comes to: the process ends, unless it was told to go on.
func (s *Server) poweroff() {
	s.emit("SHUTDOWN", map[string]any{"guest": true, "reason": "guest-shutdown"})
	if s.actions.Shutdown == "pause" {
		s.pause("shutdown")
		return
	}
	s.quitOnce.Do(func() { close(s.quit) })
}

// Guest gives the VM a guest with SeaBIOS under it, which obeys its power button.
func (s *Server) Guest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.firmware, s.obeys = true, true
}

// BreakDown is QEMU coming to a state in which it cannot run the VM on.
func (s *Server) BreakDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause("internal-error")
}

// MemoryFailure is a broken page of the host's under the VM's memory.
func (s *Server) MemoryFailure() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit("MEMORY_FAILURE", map[string]any{
		"recipient": "guest", "action": "inject", "flags": map[string]bool{"action-required": true, "recursive": false},
	})
}

// GuestReboot is the guest resetting itself.
func (s *Server) GuestReboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset(true, "guest-reset")
}

// GuestPoweroff is the guest powering itself off.
func (s *Server) GuestPoweroff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poweroff()
}
