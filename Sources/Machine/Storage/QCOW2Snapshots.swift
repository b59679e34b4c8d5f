/// A snapshot inside a qcow2 image, as `qemu-img snapshot` and `savevm` make them.
///
/// Source: QEMU's *qcow2 image file format*, "Snapshots".
///
/// Not implemented: making and deleting them, reading the state of a machine that some have.
public struct QCOW2Snapshot: Equatable, Sendable, Encodable {
    public var id: String
    public var name: String
    /// Since 1970.
    public var seconds: UInt64
    /// Of the machine's state; 0: it has none.
    public var stateBytes: UInt64
    public var diskBytes: UInt64
    var l1Offset: UInt64
    var l1Size: UInt64

    private enum CodingKeys: CodingKey { case id, name, seconds, stateBytes, diskBytes }
    private static let mostBytes = 16 << 20

    /// All of an image, in the order of their making.
    /// - Throws: what is wrong with the table.
    static func all(_ file: HostFile, _ header: QCOW2Header) throws(ImageProblem) -> [QCOW2Snapshot] {
        guard header.snapshots > 0 else { return [] }
        let start = header.snapshotsOffset
        guard start > 0, start % header.clusterBytes == 0, start < file.bytes else { throw .damaged("its table of snapshots lies at \(start)") }
        let bytes = file.peek(start, count: mostBytes)
        var found: [QCOW2Snapshot] = [], at = 0
        for _ in 0..<header.snapshots {
            guard at + 40 <= bytes.count else { throw .damaged("its table of snapshots does not end") }
            let idBytes = Int(bytes.big(at + 12, 2)), nameBytes = Int(bytes.big(at + 14, 2)), extra = Int(bytes.big(at + 36))
            guard extra <= 1024, at + 40 + extra + idBytes + nameBytes <= bytes.count else { throw .damaged("its table of snapshots does not end") }
            let text = at + 40 + extra
            found.append(
                QCOW2Snapshot(
                    id: String(decoding: bytes.part(text, idBytes), as: UTF8.self),
                    name: FileTree.name(bytes.part(text + idBytes, nameBytes)), seconds: bytes.big(at + 16),
                    stateBytes: extra >= 8 ? bytes.big(at + 40, 8) : bytes.big(at + 32),
                    diskBytes: extra >= 16 ? bytes.big(at + 48, 8) : header.diskBytes, l1Offset: bytes.big(at, 8), l1Size: bytes.big(at + 8)))
            at = (text + idBytes + nameBytes + 7) & ~7
        }
        return found
    }
}
