package agenttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// takeAtMost is how much the fake accepts per write, less than clients send, as a real agent may.
const takeAtMost = 40 << 10

type execStatus struct {
	Exited   bool   `json:"exited"`
	ExitCode int    `json:"exitcode"`
	Signal   int    `json:"signal,omitempty"`
	Out      []byte `json:"out-data,omitempty"`
	Err      []byte `json:"err-data,omitempty"`

	polls int // answers still to give before the end is reported
}

type handle struct {
	path   string
	offset int
}

func (a *Agent) exec(arguments json.RawMessage) (any, error) {
	var arg struct {
		Path  string   `json:"path"`
		Arg   []string `json:"arg"`
		Input []byte   `json:"input-data"`
	}
	if err := json.Unmarshal(arguments, &arg); err != nil {
		return nil, err
	}
	if begun, ok := a.endless[arg.Path]; ok {
		a.last++
		a.running[a.last] = execStatus{polls: math.MaxInt}
		begun(a.last)
		return map[string]int64{"pid": a.last}, nil
	}
	program, ok := a.programs[arg.Path]
	if !ok {
		return nil, fmt.Errorf("Guest agent command failed, error was 'Failed to execute child process “%s” (No such file or directory)'", arg.Path)
	}
	stdout, stderr, exit := program(arg.Arg, arg.Input)
	a.last++
	a.running[a.last] = execStatus{Exited: true, ExitCode: exit, Out: stdout, Err: stderr, polls: 2}
	return map[string]int64{"pid": a.last}, nil
}

func (a *Agent) status(arguments json.RawMessage) (any, error) {
	var arg struct{ PID int64 }
	if err := json.Unmarshal(arguments, &arg); err != nil {
		return nil, err
	}
	s, ok := a.running[arg.PID]
	if !ok {
		return nil, errors.New("Invalid parameter 'pid'")
	}
	if s.polls > 0 {
		s.polls--
		a.running[arg.PID] = s
		return execStatus{}, nil
	}
	delete(a.running, arg.PID)
	return s, nil
}

func (a *Agent) fileOpen(arguments json.RawMessage) (any, error) {
	var arg struct{ Path, Mode string }
	if err := json.Unmarshal(arguments, &arg); err != nil {
		return nil, err
	}
	if _, ok := a.files[arg.Path]; !ok && arg.Mode == "r" {
		return nil, fmt.Errorf("failed to open file '%s' (mode: 'r'): No such file or directory", arg.Path)
	}
	if arg.Mode == "w" {
		a.files[arg.Path] = []byte{}
	}
	a.last++
	a.open[a.last] = &handle{path: arg.Path}
	return a.last, nil
}

type fileArguments struct {
	Handle int64
	Count  int
	Data   []byte `json:"buf-b64"`
}

func (a *Agent) file(arguments json.RawMessage) (fileArguments, *handle, error) {
	var arg fileArguments
	if err := json.Unmarshal(arguments, &arg); err != nil {
		return arg, nil, err
	}
	h, ok := a.open[arg.Handle]
	if !ok {
		return arg, nil, fmt.Errorf("handle '%d' has not been found", arg.Handle)
	}
	return arg, h, nil
}

func (a *Agent) fileRead(arguments json.RawMessage) (any, error) {
	arg, h, err := a.file(arguments)
	if err != nil {
		return nil, err
	}
	rest := a.files[h.path][h.offset:]
	got := rest[:min(arg.Count, len(rest))]
	h.offset += len(got)
	return map[string]any{"count": len(got), "buf-b64": got, "eof": len(got) < arg.Count}, nil
}

func (a *Agent) fileWrite(arguments json.RawMessage) (any, error) {
	arg, h, err := a.file(arguments)
	if err != nil {
		return nil, err
	}
	took := arg.Data[:min(len(arg.Data), takeAtMost)]
	a.files[h.path] = append(a.files[h.path], took...)
	return map[string]any{"count": len(took), "eof": false}, nil
}

func (a *Agent) fileClose(arguments json.RawMessage) (any, error) {
	arg, _, err := a.file(arguments)
	if err != nil {
		return nil, err
	}
	delete(a.open, arg.Handle)
	return struct{}{}, nil
}
