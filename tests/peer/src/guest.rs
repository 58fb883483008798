// SPDX-License-Identifier: MIT
//! A guest of a few instructions, in the shape of a Linux kernel as the package boots one.
//!
//! It sets its virtio devices up as a driver does, by a list of words to write, and then counts in
//! a page of its own for ever. All memory that it needs is part of its image.

/// Where the package loads it, and so the address of the image's first byte.
const LOAD: u64 = 0x10_0000;
/// The package enters here.
const ENTRY: u64 = LOAD + 0x200;
const DIRECTORY: u64 = LOAD + 0x1000;
const LIST: u64 = LOAD + 0x2000;
pub const COUNTER: u64 = LOAD + 0xf000;
const RINGS: u64 = LOAD + 0x1_0000;
const RING_BYTES: u64 = 0x4000;
const RING_SIZE: u64 = 64;

/// The package's page tables end at 1 GiB; this entry of theirs covers the devices' registers.
const DEVICES_ENTRY: u64 = 0x2000 + 3 * 8;
const DEVICES: u64 = 0xd000_0000;
const DISK: u64 = DEVICES;
const VSOCK: u64 = DEVICES + 0x1000;
const VOLUMES: u64 = DEVICES + 0x2000;
const SHARES: u64 = DEVICES + 0x10_0000;

pub struct Guest<'a> {
    pub disk: bool,
    pub vsock: bool,
    pub volumes: usize,
    /// For every share the name of a file to look up, open and map, if there is one.
    pub shares: &'a [Option<String>],
    /// Leave a write in the disk's ring that nobody was told of.
    pub pending: bool,
}

struct Builder {
    image: Vec<u8>,
    /// Words to write, or to wait for, in this order.
    list: Vec<(u64, u32, bool)>,
    rings: u64,
}

/// A queue in the making.
struct Ring {
    at: u64,
    descriptors: u64,
    chains: u64,
    /// Where the next request's bytes go.
    free: u64,
}

impl Builder {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = (at - LOAD) as usize;
        let end = at + bytes.len();
        if self.image.len() < end {
            self.image.resize(end, 0);
        }
        self.image[at..end].copy_from_slice(bytes);
    }

    fn write(&mut self, at: u64, value: u32) {
        self.list.push((at, value, false));
    }

    fn wait(&mut self, at: u64, value: u32) {
        self.list.push((at, value, true));
    }

    fn ring(&mut self) -> Ring {
        let at = RINGS + self.rings * RING_BYTES;
        self.rings += 1;
        self.put(at + RING_BYTES - 1, &[0]);
        Ring { at, descriptors: 0, chains: 0, free: at + 0x3000 }
    }

    /// A request of what the device reads and of room that it writes to.
    fn chain(&mut self, ring: &mut Ring, request: &[&[u8]], room: &[u64]) {
        let first = ring.descriptors;
        let parts: Vec<(u64, u16)> =
            request.iter().map(|b| (b.len() as u64, 0)).chain(room.iter().map(|n| (*n, 2))).collect();
        for (i, (size, writable)) in parts.iter().enumerate() {
            if let Some(bytes) = request.get(i) {
                self.put(ring.free, bytes);
            }
            let last = i + 1 == parts.len();
            let mut d = ring.free.to_le_bytes().to_vec();
            d.extend((*size as u32).to_le_bytes());
            d.extend((writable | u16::from(!last)).to_le_bytes());
            d.extend(((ring.descriptors + 1) as u16 * u16::from(!last)).to_le_bytes());
            self.put(ring.at + 16 * ring.descriptors, &d);
            ring.descriptors += 1;
            ring.free = (ring.free + size).next_multiple_of(16);
        }
        self.put(ring.at + 0x1000 + 4 + 2 * ring.chains, &(first as u16).to_le_bytes());
        ring.chains += 1;
    }

    /// Tell of all chains so far: the index is the upper half of the ring's first word.
    fn publish(&mut self, ring: &Ring) {
        self.write(ring.at + 0x1000, (ring.chains as u32) << 16);
    }

    fn kick(&mut self, registers: u64, queue: u32, ring: &Ring) {
        self.publish(ring);
        self.write(registers + 0x50, queue);
        self.wait(ring.at + 0x2000, (ring.chains as u32) << 16);
    }

    /// What a driver does from reset to DRIVER_OK.
    fn start(&mut self, registers: u64, rings: &[&Ring]) {
        for status in [1, 3] {
            self.write(registers + 0x70, status);
        }
        // VERSION_1 alone, which is in the second word.
        for (select, features) in [(0, 0), (1, 1)] {
            self.write(registers + 0x24, select);
            self.write(registers + 0x20, features);
        }
        self.write(registers + 0x70, 0xb);
        for (i, ring) in rings.iter().enumerate() {
            self.write(registers + 0x30, i as u32);
            self.write(registers + 0x38, RING_SIZE as u32);
            for (register, at) in [(0x80, ring.at), (0x90, ring.at + 0x1000), (0xa0, ring.at + 0x2000)] {
                self.write(registers + register, at as u32);
                self.write(registers + register + 4, 0);
            }
            self.write(registers + 0x44, 1);
        }
        self.write(registers + 0x70, 0xf);
    }

    /// A disk, with a sector read from it.
    fn blk(&mut self, registers: u64, pending: bool) {
        let mut ring = self.ring();
        let header = |kind: u32, sector: u64| {
            let mut h = kind.to_le_bytes().to_vec();
            h.extend([0; 4]);
            h.extend(sector.to_le_bytes());
            h
        };
        self.chain(&mut ring, &[&header(0, 0)], &[512, 1]);
        self.start(registers, &[&ring]);
        self.kick(registers, 0, &ring);
        if pending {
            let mut sector = b"written by a request that waited in the ring\n".to_vec();
            sector.resize(512, b'.');
            self.chain(&mut ring, &[&header(1, 1), &sector], &[1]);
            self.publish(&ring);
        }
    }

    /// A share, with a file of it opened and mapped: FUSE_INIT, LOOKUP, OPEN, SETUPMAPPING.
    fn fs(&mut self, registers: u64, file: Option<&str>) {
        let (hiprio, mut ring) = (self.ring(), self.ring());
        let mut unique = 0;
        let mut request = |opcode: u32, node: u64, body: &[u8]| {
            unique += 1;
            let mut h = (40 + body.len() as u32).to_le_bytes().to_vec();
            h.extend(opcode.to_le_bytes());
            for n in [unique, node] {
                h.extend(n.to_le_bytes());
            }
            h.extend([0; 16]);
            h.extend(body);
            h
        };
        let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let mut requests = vec![request(26, 0, &words(&[7 | 31 << 32, 0x10000, 0, 0, 0, 0, 0, 0]))];
        if let Some(name) = file {
            // The share's first node after its root is 2, its first handle 1.
            requests.push(request(1, 1, &[name.as_bytes(), b"\0"].concat()));
            requests.push(request(14, 2, &words(&[2])));
            requests.push(request(48, 2, &words(&[1, 0, 0x4000, 3, 0])));
        }
        for r in &requests {
            self.chain(&mut ring, &[r], &[256]);
        }
        self.start(registers, &[&hiprio, &ring]);
        self.kick(registers, 1, &ring);
    }
}

/// The code: work through the list, then count.
fn code() -> Vec<u8> {
    let mut c = vec![0xbe]; // mov esi, LIST
    c.extend((LIST as u32).to_le_bytes());
    #[rustfmt::skip]
    c.extend([
        0x48, 0x8b, 0x3e, //       next: mov rdi, [rsi]
        0x48, 0x85, 0xff, //       test rdi, rdi
        0x74, 0x19, //             jz done
        0x8b, 0x46, 0x08, //       mov eax, [rsi + 8]
        0x83, 0x7e, 0x0c, 0x00, // cmp dword [rsi + 12], 0
        0x75, 0x04, //             jne wait
        0x89, 0x07, //             mov [rdi], eax
        0xeb, 0x06, //             jmp step
        0xf3, 0x90, //             wait: pause
        0x3b, 0x07, //             cmp eax, [rdi]
        0x75, 0xfa, //             jne wait
        0x48, 0x83, 0xc6, 0x10, // step: add rsi, 16
        0xeb, 0xdf, //             jmp next
        0xbb, //                   done: mov ebx, COUNTER
    ]);
    c.extend((COUNTER as u32).to_le_bytes());
    #[rustfmt::skip]
    c.extend([
        0x48, 0xff, 0x03, // count: inc qword [rbx]
        0xf3, 0x90, //       pause
        0xeb, 0xf9, //       jmp count
    ]);
    c
}

/// The kernel's file: two sectors of what the boot protocol wants, and the image.
pub fn kernel(guest: &Guest) -> Vec<u8> {
    let mut b = Builder { image: Vec::new(), list: Vec::new(), rings: 0 };
    b.put(ENTRY, &code());
    for i in 0..512u64 {
        // 2 MiB each from 3 GiB on, present, writable, not cached.
        b.put(DIRECTORY + 8 * i, &(0xc000_0000 + (i << 21) | 0x93).to_le_bytes());
    }
    b.write(DEVICES_ENTRY, DIRECTORY as u32 | 3);
    if guest.disk {
        b.blk(DISK, guest.pending);
    }
    if guest.vsock {
        let rings = [b.ring(), b.ring(), b.ring()];
        b.start(VSOCK, &[&rings[0], &rings[1], &rings[2]]);
    }
    for i in 0..guest.volumes {
        b.blk(VOLUMES + 0x1000 * i as u64, false);
    }
    for (i, file) in guest.shares.iter().enumerate() {
        b.fs(SHARES + 0x1000 * i as u64, file.as_deref());
    }
    for (i, (at, value, wait)) in std::mem::take(&mut b.list).into_iter().enumerate() {
        let mut entry = at.to_le_bytes().to_vec();
        entry.extend(value.to_le_bytes());
        entry.extend(u32::from(wait).to_le_bytes());
        b.put(LIST + 16 * i as u64, &entry);
    }
    b.put(COUNTER, &[0; 8]);

    let mut file = vec![0; 1024];
    file[0x1f1] = 1; // sectors of setup after the first
    file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file.extend(b.image);
    file
}
