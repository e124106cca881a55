package audit

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPacket(t *testing.T) {
	p := packet("op=x")
	if len(p) != 21 || binary.NativeEndian.Uint32(p) != 21 || binary.NativeEndian.Uint16(p[4:]) != 1121 || string(p[16:]) != "op=x\x00" {
		t.Errorf("%v", p)
	}
}

func TestVerdict(t *testing.T) {
	answer := func(kind uint16, errno int32) []byte {
		b := make([]byte, 16, 40)
		binary.NativeEndian.PutUint16(b[4:], kind)
		return append(binary.NativeEndian.AppendUint32(b, uint32(-errno)), make([]byte, 16)...)
	}
	if err := verdict(answer(unix.NLMSG_ERROR, 0)); err != nil {
		t.Errorf("an acknowledgement: %v", err)
	}
	if err := verdict(answer(unix.NLMSG_ERROR, int32(unix.EPERM))); !errors.Is(err, unix.EPERM) {
		t.Errorf("EPERM: %v", err)
	}
	for _, bad := range [][]byte{nil, make([]byte, 16), answer(1121, 0)} {
		if verdict(bad) == nil {
			t.Errorf("%v is taken for an acknowledgement", bad)
		}
	}
}
