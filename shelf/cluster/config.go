package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Profile is a set of raft timeouts, chosen as one.
type Profile struct {
	Heartbeat time.Duration // a follower waits this long for its leader
	Election  time.Duration // a candidate waits this long for votes
	Lease     time.Duration // a leader without a quorum steps down after this
}

// LAN suits replicas on several hosts: a dead leader is replaced in about 0.6 s.
var LAN = Profile{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 300 * time.Millisecond}

// Lab suits replicas on one host: a dead leader is replaced in about 0.4 s.
// Half of that would be possible on an idle machine; guests that compute on
// the same two processors make it lose leaders that are alive.
var Lab = Profile{Heartbeat: 200 * time.Millisecond, Election: 200 * time.Millisecond, Lease: 200 * time.Millisecond}

// ProfileByName knows "lan" and "lab".
func ProfileByName(name string) (Profile, error) {
	switch name {
	case "lan":
		return LAN, nil
	case "lab":
		return Lab, nil
	}
	return Profile{}, fmt.Errorf("cluster: unknown profile %q: use lan or lab", name)
}

// ioTimeout bounds one exchange with a peer that may be frozen.
func (p Profile) ioTimeout() time.Duration { return max(10*p.Heartbeat, time.Second) }

// Config says who a replica is and what it runs on.
type Config struct {
	// NodeID names the replica in its shelf ("shm1") for ever, also after a
	// wipe. No other replica may have it.
	NodeID string
	// Address is where the other replicas reach this one (host:port), for raft
	// and for the [Seeder] alike.
	Address string
	// DataDir holds raft.db, snapshots/ and, for a recovery, peers.json.
	DataDir string
	// Profile holds the timeouts; zero means [LAN].
	Profile Profile

	// Expect is how many replicas must have answered, this one included,
	// before a new cluster is formed; 0 means 1.
	Expect int
	// Seeds are addresses of the other replicas; this one's may be among them.
	Seeds []string
	// Seeder asks the seeds. It may be nil for a single replica.
	Seeder Seeder
	// ClusterID, when set, is the only cluster that this replica will form or
	// join. Empty: mint one when forming, accept the first when joining.
	ClusterID string

	// FSM is the replicated state. If it is a [raft.BatchingFSM] it gets
	// batches; it sees commands only, never configuration entries. If it has
	// SetHalt (see [HaltSetter]) it gets the means to stop this replica.
	FSM raft.FSM

	// Listener accepts connections of other replicas that the caller has
	// authenticated (TLS, ALPN raft/1), and Dial makes them. The cluster closes
	// Listener. Both are unused when Transport is set.
	Listener net.Listener
	Dial     func(ctx context.Context, addr string) (net.Conn, error)
	// Transport, when set, carries raft in place of Listener and Dial; the
	// package clustertest has one in memory. Its address must be Address.
	Transport raft.Transport

	// Logger gets this package's lines, and raft's one level lower; nil is silent.
	Logger *slog.Logger
	// Observer, when set, is told of every [Event], from one goroutine. It must
	// not block for long.
	Observer func(Event)

	// OpenFile opens the database file; nil means [os.OpenFile]. Tests put a
	// failing disk here.
	OpenFile openFileFunc
}

// HaltSetter is what an FSM implements to be able to stop its replica, for
// example on a command version that it does not know. [Open] calls SetHalt
// with [Cluster.Halt] before any command is applied.
type HaltSetter interface {
	SetHalt(halt func(error))
}

// withDefaults checks the configuration and fills in what may be left out.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Profile == (Profile{}) {
		cfg.Profile = LAN
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Expect = max(cfg.Expect, 1)
	switch {
	case cfg.NodeID == "":
		return cfg, errors.New("cluster: a replica needs a node id")
	case cfg.Address == "":
		return cfg, errors.New("cluster: a replica needs an address")
	case cfg.DataDir == "":
		return cfg, errors.New("cluster: a replica needs a data directory")
	case cfg.FSM == nil:
		return cfg, errors.New("cluster: a replica needs a state machine")
	case cfg.Transport == nil && (cfg.Listener == nil || cfg.Dial == nil):
		return cfg, errors.New("cluster: a replica needs a listener and a dialer, or a transport")
	case len(cfg.NodeID) > maxHelloField || len(cfg.ClusterID) > maxHelloField:
		return cfg, fmt.Errorf("cluster: node id and cluster id have at most %d bytes", maxHelloField)
	case cfg.Expect > 1 && (cfg.Seeder == nil || len(cfg.Seeds) == 0):
		return cfg, fmt.Errorf("cluster: expecting %d replicas needs seeds and a seeder to find them", cfg.Expect)
	}
	return cfg, nil
}

// raft is raft's view of the configuration. RestoreCommittedLogs stays off:
// with it a restarted server without a snapshot loses its server list.
func (cfg Config) raft(notify chan<- bool) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(cfg.NodeID)
	rc.HeartbeatTimeout = cfg.Profile.Heartbeat
	rc.ElectionTimeout = cfg.Profile.Election
	rc.LeaderLeaseTimeout = cfg.Profile.Lease
	rc.BatchApplyCh = true
	rc.MaxAppendEntries = maxAppendEntries
	rc.NotifyCh = notify
	rc.NoLegacyTelemetry = true
	rc.Logger = newRaftLogger(cfg.Logger)
	return rc
}

const (
	maxAppendEntries = 512 // entries in one replication message, and in one fsync
	logCacheSize     = 512 // newest entries kept in memory for the followers
	keepSnapshots    = 2
)
