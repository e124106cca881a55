package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// encrypt makes a directory of fscrypt with a file and 450 directories in each other,
// and takes the key away, so that nobody can open the file or rename anything.
func encrypt(dir string) {
	key := struct {
		unix.FscryptAddKeyArg
		raw [64]byte
	}{}
	key.Key_spec.Type, key.Raw_size = unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER, uint32(len(key.raw))
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = request(dir, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&key))
	}
	policy := unix.FscryptPolicyV2{Version: unix.FSCRYPT_POLICY_V2, Contents_encryption_mode: unix.FSCRYPT_MODE_AES_256_XTS,
		Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS}
	copy(policy.Master_key_identifier[:], key.Key_spec.U[:])
	if err == nil {
		err = request(dir, unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&policy))
	}
	if err == nil {
		err = errors.Join(deepBelow(dir), os.WriteFile(dir+"/file", []byte("x"), 0o644))
	}
	unix.Sync() // what is not written yet keeps the key
	without := unix.FscryptRemoveKeyArg{Key_spec: key.Key_spec}
	if err == nil {
		err = request(dir, unix.FS_IOC_REMOVE_ENCRYPTION_KEY, unsafe.Pointer(&without))
	}
	fmt.Println("encrypted", err, without.Removal_status_flags)
}

func deepBelow(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	defer func() { _ = os.Chdir("/") }()
	for range 450 {
		if err := errors.Join(os.Mkdir("d", 0o755), os.Chdir("d")); err != nil {
			return err
		}
	}
	return nil
}

func request(dir string, what uintptr, arg unsafe.Pointer) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), what, uintptr(arg)); errno != 0 {
		return fmt.Errorf("ioctl %#x: %w", what, errno)
	}
	return nil
}
