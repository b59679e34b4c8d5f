/// Guest time since power-on, in nanoseconds. The only time that the core and the chips know.
public typealias Nanoseconds = UInt64

/// An I/O port number, 0x0000–0xFFFF.
public typealias Port = UInt16

/// A guest-physical address (after paging, before the A20 gate).
public typealias Physical = UInt64

/// A linear address (after segmentation, before paging).
public typealias Linear = UInt64
