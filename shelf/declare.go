package shelf

import (
	"github.com/google/uuid"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// guidSpace is the name space of shelf GUIDs: a shelf's is made of its cluster
// and its name, so that every replica comes to the same.
var guidSpace = uuid.MustParse("6d696470-6c61-4e65-8000-7368656c6600")

func shelfGUID(cluster, shelf string) uuid.UUID {
	return uuid.NewSHA1(guidSpace, []byte(cluster+"/"+shelf))
}

// command declares d to the cluster.
func (d Declared) command(cluster string) *v1.Command {
	guid := shelfGUID(cluster, d.Name)
	set := &v1.SetShelf{Shelf: d.Name, Guid: guid[:]}
	for _, hw := range hardware(d) {
		set.HardwareAddresses = append(set.HardwareAddresses, uint32(hw))
	}
	for _, s := range d.Slots {
		set.SlotNames = append(set.SlotNames, s.Name)
	}
	return &v1.Command{Kind: &v1.Command_SetShelf{SetShelf: set}}
}

func hardware(d Declared) (hw []uint8) {
	for _, s := range d.Slots {
		hw = append(hw, ipmb.SlotAddr(s.Slot).HW())
	}
	return hw
}
