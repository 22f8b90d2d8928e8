#!/bin/sh
# Lays a full disk over Redis's folder. Usage: full-disk.sh make|write|free|undo FOLDER
#   make  a new disk with what is in FOLDER, and a file that takes the rest; once per boot
#   write what AutoBot would do at any moment: more than fits into the last block that is
#         already Redis's own
#   free  removes that file
#   undo  takes what is on the disk back to the old folder, and the disk away
set -eu
disk=/run/lab-full-disk
folder=$2
filler=temp-4711.rdb

case $1 in
make)
    mountpoint -q "$disk" && exit 0
    mkdir -p "$disk"
    used=$(du -sk "$folder" | cut -f1)
    # Room enough for a rewrite of the data, once the file is gone.
    mount -t tmpfs -o "size=$((used * 2 + 65536))k,mode=0755" lab-full-disk "$disk"
    cp -a "$folder/." "$disk/"
    dd if=/dev/zero of="$disk/$filler" bs=1M status=none 2>/dev/null || :
    chown --reference="$folder" "$disk/$filler"
    mount --bind "$disk" "$folder"
    ;;
write)
    head -c 65536 /dev/zero | tr '\0' x | redis-cli -x SETEX lab:disk-full 1 >/dev/null
    ;;
free)
    rm -f "$disk/$filler"
    ;;
undo)
    mountpoint -q "$disk" || exit 0
    umount "$folder"
    find "$folder" -mindepth 1 -delete
    cp -a "$disk/." "$folder/"
    umount "$disk"
    ;;
esac
