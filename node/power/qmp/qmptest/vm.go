package qmptest

import "fmt"

// act is the VM behind the monitor: what QEMU 7.2 does for each command that the node uses.
func (s *Server) act(command string) (any, error) {
	switch command {
	case "qmp_capabilities", "set-action", "inject-nmi":
		return nil, nil
	case "query-status":
		return map[string]any{"status": s.status, "running": s.status == "running"}, nil
	case "query-uuid":
		return map[string]string{"UUID": s.uuid}, nil
	case "stop":
		s.pause("paused")
	case "cont":
		return nil, s.resume()
	case "system_reset":
		s.emit("RESET", map[string]any{"guest": false, "reason": "host-qmp-system-reset"})
		if s.status == "shutdown" || s.status == "paused" {
			s.status = "prelaunch"
		}
	case "system_powerdown":
		s.emit("POWERDOWN", nil)
	case "quit":
		s.emit("SHUTDOWN", map[string]any{"guest": false, "reason": "host-qmp-quit"})
	default:
		return nil, fmt.Errorf("The command %s has not been found", command)
	}
	return nil, nil
}

func (s *Server) pause(status string) {
	if s.status == "running" {
		s.emit("STOP", nil)
		s.status = status
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
