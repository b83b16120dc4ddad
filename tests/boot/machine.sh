#!/bin/sh
# Starts systemd as the first process of a machine of its own: its own processes, mounts, network and control groups,
# this machine's /usr read-only, and of its own /etc, /opt and /var, which lie in the folder $1 and outlast it.
# Run by `unshare --pid --fork --mount --uts --ipc --net --cgroup`.
set -eu
disk=$1
mount --make-rprivate /
root=$disk/root
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir usr etc opt var run tmp proc sys dev old
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
mount --bind /usr usr
mount -o remount,ro,bind usr
for folder in etc opt var; do mount --bind "$disk/$folder" "$folder"; done
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
echo machine >proc/sys/kernel/hostname
pivot_root . old
umount -l old
exec env -i container=test PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd \
    --unit=multi-user.target --show-status=0 --log-target=journal
