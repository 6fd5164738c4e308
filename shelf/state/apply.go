package state

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Version is the version of commands that this package knows, and of snapshots
// without records.
const Version = 1

// versionRecords is the version of snapshots with records. A program that does
// not know them must not load one: it would leave them out.
const versionRecords = 2

// Config holds the bounds of a state. Every replica of a cluster must have the
// same: they decide what commands do.
type Config struct {
	Lease    time.Duration // how long a lost holder keeps its slot; ConfigLease overrides it. 0: 10 s
	LogLimit int           // entries in a shelf's event log, guests' apart. 0: 65,536
	SELLimit int           // records in a shelf's SEL, at most 4,095. 0: 4,095
}

// Defaults. The SEL is as large as Get SEL Info can tell: its free space, 16
// bytes a record, must fit in 16 bits.
const (
	DefaultLease    = 10 * time.Second
	DefaultLogLimit = 65536
	MaxSELRecords   = 4095
)

func (c Config) withDefaults() Config {
	if c.Lease <= 0 {
		c.Lease = DefaultLease
	}
	if c.LogLimit <= 0 {
		c.LogLimit = DefaultLogLimit
	}
	if c.SELLimit <= 0 || c.SELLimit > MaxSELRecords {
		c.SELLimit = MaxSELRecords
	}
	return c
}

// UnknownCommandError says that a command is of a version or kind that this
// program does not know: it must stop rather than diverge.
type UnknownCommandError struct {
	Index   uint64
	Version uint32
}

func (e *UnknownCommandError) Error() string {
	return fmt.Sprintf("state: log entry %d holds a command of version %d or of a kind that this program does not know (it knows version %d): install the version that the other replicas run", e.Index, e.Version, Version)
}

// State is the replicated state. It is not safe for concurrent use; [FSM] is.
type State struct {
	config   Config
	lease    time.Duration
	applied  uint64
	shelves  []*shelf // in order of name
	settings map[string][]byte
	sessions sessionTable
}

// New gives an empty state.
func New(c Config) *State {
	c = c.withDefaults()
	return &State{
		config: c, lease: c.Lease, settings: make(map[string][]byte),
		sessions: newSessionTable(maxSessionRows, maxSessionRowsInstance),
	}
}

// Apply carries out the command at a log index. A command whose (instance, id)
// the session table knows has no effect and gets its first answer. The error,
// always an [*UnknownCommandError], means that nothing was done and that the
// replica must stop.
func (s *State) Apply(index uint64, c *v1.Command) (*v1.Answer, error) {
	if c.GetVersion() != Version || c.GetKind() == nil || len(c.ProtoReflect().GetUnknown()) > 0 {
		return nil, &UnknownCommandError{Index: index, Version: c.GetVersion()}
	}
	s.applied = index
	if len(c.GetInstance()) == 0 {
		return s.do(c), nil
	}
	if len(c.GetInstance()) > maxInstanceLen {
		return invalid("an instance id of %d bytes", len(c.GetInstance())), nil
	}
	return s.once(c), nil
}

// once carries out a command that has a session row.
func (s *State) once(c *v1.Command) *v1.Answer {
	if first, ok := s.sessions.answer(c.GetInstance(), c.GetId()); ok {
		return first
	}
	a := s.do(c)
	b, err := deterministic.Marshal(a)
	if err == nil { // an Answer has nothing that cannot be marshalled
		s.sessions.put(string(c.GetInstance()), c.GetId(), string(b))
	}
	return a
}

// do carries out a command of a known kind.
func (s *State) do(c *v1.Command) *v1.Answer {
	switch k := c.GetKind().(type) {
	case *v1.Command_SetShelf:
		return s.setShelf(k.SetShelf)
	case *v1.Command_SetConfig:
		return s.setConfig(k.SetConfig)
	}
	name := shelfOf(c)
	sh := s.shelf(name)
	if sh == nil {
		return refuse(v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SHELF, "no shelf is called %q", name)
	}
	return s.doShelf(sh, c)
}

func (s *State) doShelf(sh *shelf, c *v1.Command) *v1.Answer {
	now := c.GetTime()
	switch k := c.GetKind().(type) {
	case *v1.Command_Claim:
		return sh.claim(now, s.lease, k.Claim)
	case *v1.Command_Release:
		return sh.release(now, s.lease, k.Release)
	case *v1.Command_AppendEvents:
		return sh.appendEvents(now, k.AppendEvents)
	case *v1.Command_AddSel:
		return sh.addSEL(now, k.AddSel)
	case *v1.Command_ClearSel:
		return sh.clearSEL(now, k.ClearSel)
	case *v1.Command_DeleteSel:
		return sh.deleteSEL(now, k.DeleteSel)
	case *v1.Command_SetSelTime:
		return sh.setSELTime(k.SetSelTime)
	case *v1.Command_SlotFact:
		return sh.slotFact(now, k.SlotFact)
	case *v1.Command_SetEventReceiver:
		return sh.setEventReceiver(k.SetEventReceiver)
	case *v1.Command_PutRecords:
		return sh.putRecords(k.PutRecords)
	}
	return &v1.Answer{}
}

// shelfNamed is every kind of command that names its shelf.
type shelfNamed interface{ GetShelf() string }

func shelfOf(c *v1.Command) string {
	var k shelfNamed
	switch v := c.GetKind().(type) {
	case *v1.Command_Claim:
		k = v.Claim
	case *v1.Command_Release:
		k = v.Release
	case *v1.Command_AppendEvents:
		k = v.AppendEvents
	case *v1.Command_AddSel:
		k = v.AddSel
	case *v1.Command_ClearSel:
		k = v.ClearSel
	case *v1.Command_DeleteSel:
		k = v.DeleteSel
	case *v1.Command_SetSelTime:
		k = v.SetSelTime
	case *v1.Command_SlotFact:
		k = v.SlotFact
	case *v1.Command_SetEventReceiver:
		k = v.SetEventReceiver
	case *v1.Command_PutRecords:
		k = v.PutRecords
	default:
		return ""
	}
	return k.GetShelf()
}

// shelf finds a shelf by name, nil if there is none.
func (s *State) shelf(name string) *shelf {
	if i, ok := s.searchShelf(name); ok {
		return s.shelves[i]
	}
	return nil
}

func (s *State) searchShelf(name string) (int, bool) {
	return slices.BinarySearchFunc(s.shelves, name, func(sh *shelf, name string) int { return strings.Compare(sh.name, name) })
}

func (s *State) setShelf(c *v1.SetShelf) *v1.Answer {
	if a := checkShelf(c); a != nil {
		return a
	}
	i, ok := s.searchShelf(c.GetShelf())
	if !ok {
		if len(s.shelves) >= maxShelves {
			return &v1.Answer{CompletionCode: uint32(ipmb.ErrOutOfSpace), Refusal: fmt.Sprintf("a cluster holds at most %d shelves", maxShelves)}
		}
		s.shelves = slices.Insert(s.shelves, i, newShelf(c.GetShelf(), s.config))
	}
	s.shelves[i].declare(c)
	return &v1.Answer{}
}

// refuse answers a command that the state does not permit.
func refuse(reason v1.RefusalReason, format string, args ...any) *v1.Answer {
	return &v1.Answer{CompletionCode: uint32(ipmb.ErrState), Reason: reason, Refusal: fmt.Sprintf(format, args...)}
}

// invalid answers a command that makes no sense.
func invalid(format string, args ...any) *v1.Answer {
	return &v1.Answer{CompletionCode: uint32(ipmb.ErrInvalidField), Refusal: fmt.Sprintf(format, args...)}
}
