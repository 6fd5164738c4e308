package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// saveQueue keeps the receive message queue over a restart.
func (n *Node) saveQueue() error {
	path := filepath.Join(n.cfg.Dir, queueFile)
	queue := n.controller.mail.pending()
	if len(queue) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := json.Marshal(queue)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("keep the receive queue: %w", err)
	}
	return os.Rename(tmp, path)
}

// loadQueue takes the receive message queue of the last run back, once.
func (n *Node) loadQueue() error {
	path := filepath.Join(n.cfg.Dir, queueFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	var queue [][]byte
	if err := json.Unmarshal(raw, &queue); err != nil {
		return err
	}
	n.controller.mail.restore(queue)
	return nil
}
