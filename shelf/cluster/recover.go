package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Names in the data directory.
const (
	dbName        = "raft.db"
	snapshotsName = "snapshots"
	peersName     = "peers.json"      // an operator's new list of members
	peersUsedName = "peers.json.used" // what the last recovery applied
)

// recoverPeers applies a peers.json, the way out when a majority is lost for
// good: a list like
//
//	[{"id": "shm1", "address": "192.0.2.1:7400", "non_voter": false}]
//
// which must be the same in the data directory of every replica named in it
// when they start. Entries that were never committed may become committed.
func (c *Cluster) recoverPeers() error {
	path := filepath.Join(c.cfg.DataDir, peersName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	members, err := raft.ReadConfigJSON(path)
	if err != nil {
		return fmt.Errorf("cluster: %s: %w", path, err)
	}
	trans := recoveryTransport(c.cfg.Address)
	err = raft.RecoverCluster(c.cfg.raft(nil), c.fsm, c.store, c.store, c.snaps, trans, members)
	if err != nil {
		return fmt.Errorf("cluster: recover with %s: %w", path, err)
	}
	c.cfg.Logger.Warn("the members were replaced from peers.json", "node", c.cfg.NodeID, "members", len(members.Servers))
	if err := os.Rename(path, filepath.Join(c.cfg.DataDir, peersUsedName)); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// recoveryTransport only spells addresses into the recovery's snapshot.
func recoveryTransport(addr string) raft.Transport {
	_, t := raft.NewInmemTransport(raft.ServerAddress(addr))
	return t
}

// Wipe empties a stopped replica's data directory, so that at its next start it
// joins its cluster again under its old name. It refuses while the replica runs.
// Other files in the directory stay.
func Wipe(dataDir string) error {
	path := filepath.Join(dataDir, dbName)
	if _, err := os.Stat(path); err == nil {
		s, err := openStore(path, nil)
		var broken *StorageError
		if err != nil && !errors.As(err, &broken) {
			return err
		}
		if err == nil {
			if err := s.Close(); err != nil {
				return fmt.Errorf("cluster: wipe: %w", err)
			}
		}
	}
	for _, name := range []string{peersName, peersUsedName, snapshotsName, dbName} {
		if err := os.RemoveAll(filepath.Join(dataDir, name)); err != nil {
			return fmt.Errorf("cluster: wipe: %w", err)
		}
	}
	return nil
}
