package cluster

import "errors"

// Keys of the meta bucket.
var (
	keyClusterID = []byte("cluster")
	keyJoined    = []byte("joined")
)

// Raft's own keys in the stable bucket (hashicorp/raft, raft.go). A replica
// that joins with an empty disk sets them once, see [store.adoptTerm].
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
	keyVoteFor  = []byte("LastVoteCand")
)

// identity is what a replica remembers of its cluster.
type identity struct {
	clusterID string // empty until it formed or joined one
	joined    bool   // it has been let in by others: it must never form one
}

func (s *store) loadIdentity() (identity, error) {
	id, err := s.get(bucketMeta, keyClusterID)
	if err != nil && !errors.Is(err, errKeyNotFound) {
		return identity{}, err
	}
	_, err = s.get(bucketMeta, keyJoined)
	if err != nil && !errors.Is(err, errKeyNotFound) {
		return identity{}, err
	}
	return identity{clusterID: string(id), joined: err == nil}, nil
}

// saveFormed stores the id of the cluster that this replica is about to form.
func (s *store) saveFormed(clusterID string) error {
	return s.put(bucketMeta, keyClusterID, []byte(clusterID))
}

// saveJoined stores the id of the cluster that let this replica in.
func (s *store) saveJoined(clusterID string) error {
	if err := s.put(bucketMeta, keyClusterID, []byte(clusterID)); err != nil {
		return err
	}
	return s.put(bucketMeta, keyJoined, []byte{1})
}

// adoptTerm makes an empty replica start in the leader's term with its vote
// given to that leader. Before its disk was wiped it may have voted in that
// term; it must not vote in it twice.
func (s *store) adoptTerm(l Leader) error {
	if err := s.SetUint64(keyVoteTerm, l.Term); err != nil {
		return err
	}
	if err := s.Set(keyVoteFor, []byte(l.Address)); err != nil {
		return err
	}
	return s.SetUint64(keyTerm, l.Term)
}
