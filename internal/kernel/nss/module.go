package nss

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <locale.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>

// load opens a module as libc does; dlopen(3) says in English why it cannot.
static void *load(const char *file, const char **why) {
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
	void *h = dlopen(file, RTLD_NOW);
	*why = h ? NULL : dlerror();
	uselocale(before);
	return h;
}

// own looks in what is loaded already: since glibc 2.34 "files" is in libc.
static void *own(const char *name) { return dlsym(RTLD_DEFAULT, name); }

// A module's functions, as <nss.h> declares them. errno is what libc hands them
// for their error as well.
static int by_name(void *f, const char *name, void *result, char *buf, size_t len, int *err) {
	errno = 0;
	int status = ((int (*)(const char *, void *, char *, size_t, int *))f)(name, result, buf, len, &errno);
	*err = errno;
	return status;
}

static int by_id(void *f, uint32_t id, void *result, char *buf, size_t len, int *err) {
	errno = 0;
	int status = ((int (*)(uint32_t, void *, char *, size_t, int *))f)(id, result, buf, len, &errno);
	*err = errno;
	return status;
}

static int next(void *f, void *result, char *buf, size_t len, int *err) {
	errno = 0;
	int status = ((int (*)(void *, char *, size_t, int *))f)(result, buf, len, &errno);
	*err = errno;
	return status;
}

// malloc of cgo's own ends the process where there is no memory.
static char *room(size_t size) { return malloc(size); }

static int begin(void *f) { return ((int (*)(int))f)(0); }
static int end(void *f) { return ((int (*)(void))f)(); }

static int groups_of(void *f, const char *user, gid_t gid, long *n, long *size, gid_t **groups, int *err) {
	errno = 0;
	int status = ((int (*)(const char *, gid_t, long *, long *, gid_t **, long, int *))f)(user, gid, n, size, groups, -1, &errno);
	*err = errno;
	return status;
}
*/
import "C"

import (
	"slices"
	"strings"
	"syscall"
	"unsafe"
)

// module is a source's shared library, libnss_NAME.so.2.
type module struct {
	name   string
	handle unsafe.Pointer
	absent bool   // there is no such file
	why    string // it cannot be loaded
}

func load(name string) module {
	m := module{name: name}
	if strings.ContainsRune(name, '/') {
		m.why = "its name has a slash"
		return m
	}
	file := "libnss_" + name + ".so.2"
	cfile := C.CString(file)
	defer C.free(unsafe.Pointer(cfile))
	var why *C.char
	if m.handle = C.load(cfile, &why); m.handle == nil {
		m.why = C.GoString(why)
		m.absent = m.why == file+": cannot open shared object file: No such file or directory"
	}
	return m
}

// function finds one of the module's functions.
func (m module) function(name string) unsafe.Pointer {
	cname := C.CString("_nss_" + m.name + "_" + name)
	defer C.free(unsafe.Pointer(cname))
	if m.handle != nil {
		if f := C.dlsym(m.handle, cname); f != nil {
			return f
		}
	}
	if m.name == "files" {
		return C.own(cname)
	}
	return nil
}

func (m module) cannot(function string) Answer {
	a := Answer{Source: m.name, Status: Unavailable, Absent: m.name != "files" && (m.absent || m.handle != nil), Why: m.why}
	if a.Why == "" {
		a.Why = "its module has no function " + function
	}
	return a
}

func (m module) answer(status, err C.int) Answer {
	return Answer{Source: m.name, Status: Status(status), Errno: syscall.Errno(err)}.settled()
}

// Room for an entry: a group of a whole university has megabytes of members.
const (
	roomFirst = 4 << 10
	roomMost  = 64 << 20
)

// entry calls one of the functions that fill in a struct and a buffer for its
// strings, with as much room as it asks for. read is told of the entry that was
// found.
func (m module) entry(call func(result unsafe.Pointer, buf *C.char, size C.size_t, err *C.int) C.int, read func(unsafe.Pointer)) Answer {
	// large enough for a passwd and for a group
	result := C.calloc(1, C.sizeof_struct_passwd+C.sizeof_struct_group)
	if result == nil {
		return Answer{Source: m.name, Status: TryAgain, Errno: syscall.ENOMEM}
	}
	defer C.free(result)
	var status, err C.int
	for size := C.size_t(roomFirst); ; size *= 4 {
		buf := C.room(size)
		if buf == nil {
			return Answer{Source: m.name, Status: TryAgain, Errno: syscall.ENOMEM}
		}
		status = call(result, buf, size, &err)
		more := Status(status) == TryAgain && syscall.Errno(err) == syscall.ERANGE && size < roomMost
		if Status(status) == Success {
			read(result)
		}
		C.free(unsafe.Pointer(buf))
		if !more {
			return m.answer(status, err)
		}
	}
}

// byName asks for the user or group of a name.
func (m module) byName(function, name string) Answer {
	f := m.function(function)
	if f == nil {
		if a, ok := filesByName(function, name); ok && m.name == "files" {
			return a
		}
		return m.cannot(function)
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	return m.entry(func(result unsafe.Pointer, buf *C.char, size C.size_t, err *C.int) C.int {
		return C.by_name(f, cname, result, buf, size, err)
	}, func(unsafe.Pointer) {})
}

// byID asks for the user of an id.
func (m module) byID(function string, id uint32) Answer {
	f := m.function(function)
	if f == nil && m.name == "files" {
		return filesByID(id)
	}
	if f == nil {
		return m.cannot(function)
	}
	return m.entry(func(result unsafe.Pointer, buf *C.char, size C.size_t, err *C.int) C.int {
		return C.by_id(f, C.uint32_t(id), result, buf, size, err)
	}, func(unsafe.Pointer) {})
}

// groupsOf asks for the groups of which a user is a member.
func (m module) groupsOf(user string, gid uint32) ([]uint32, Answer) {
	f := m.function("initgroups_dyn")
	if f == nil && m.name == "files" {
		return filesGroupsOf(user)
	}
	if f == nil {
		return m.everyGroupOf(user)
	}
	cuser := C.CString(user)
	defer C.free(unsafe.Pointer(cuser))
	n, size := C.long(0), C.long(64)
	list := (*C.gid_t)(C.calloc(C.size_t(size), C.sizeof_gid_t)) // the function makes it larger
	defer func() { C.free(unsafe.Pointer(list)) }()
	if list == nil {
		return nil, Answer{Source: m.name, Status: TryAgain, Errno: syscall.ENOMEM}
	}
	var err C.int
	status := C.groups_of(f, cuser, C.gid_t(gid), &n, &size, &list, &err)
	var gids []uint32
	for _, g := range unsafe.Slice(list, int(n)) {
		gids = append(gids, uint32(g))
	}
	return gids, m.answer(status, err)
}

// everyGroupOf reads all groups of a source that cannot be asked for those of a
// user.
func (m module) everyGroupOf(user string) ([]uint32, Answer) {
	set, get, end := m.function("setgrent"), m.function("getgrent_r"), m.function("endgrent")
	if get == nil {
		return nil, m.cannot("initgroups_dyn")
	}
	if set != nil {
		if status := Status(C.begin(set)); status != Success {
			return nil, Answer{Source: m.name, Status: status}
		}
	}
	if end != nil {
		defer C.end(end)
	}
	var gids []uint32
	for {
		a := m.entry(func(result unsafe.Pointer, buf *C.char, size C.size_t, err *C.int) C.int {
			return C.next(get, result, buf, size, err)
		}, func(result unsafe.Pointer) {
			g := (*C.struct_group)(result)
			if slices.Contains(members(g), user) {
				gids = append(gids, uint32(g.gr_gid))
			}
		})
		switch {
		case a.Status == NotFound && len(gids) > 0:
			a.Status = Success
			return gids, a
		case a.Status != Success:
			return gids, a
		}
	}
}

func members(g *C.struct_group) []string {
	var names []string
	for p := g.gr_mem; p != nil && *p != nil; p = (**C.char)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))) {
		names = append(names, C.GoString(*p))
	}
	return names
}
