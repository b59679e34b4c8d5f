import Hardware

/// A medium whose every write is on the host's medium before it is answered, whether the guest asks for that or not.
final class WriteThrough: Medium {
    let medium: any Medium
    init(_ medium: any Medium) { self.medium = medium }

    var sectorBytes: Int { medium.sectorBytes }
    var sectorCount: UInt64 { medium.sectorCount }
    var readOnly: Bool { medium.readOnly }
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool { medium.read(sector: sector, into: buffer) }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { medium.write(sector: sector, from: buffer) && medium.flush() }
    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool {
        medium.zero(sector: sector, count: count, discard: discard) && medium.flush()
    }
    func flush() -> Bool { medium.flush() }
}
