import Primitives

/// Writes an archive as Linux unpacks it into its initial RAM file system.
///
/// Source: Linux *Documentation/driver-api/early-userspace/buffer-format.rst* ("newc" format); cpio(5).
///
/// Not implemented: device nodes, hard links, times (all are 0, so that the same input gives the same bytes).
public struct CpioArchive: Sendable {
    private var bytes: [UInt8] = []
    private var inode: UInt32 = 1
    private var folders: Set<String> = []

    public init() {}

    /// - Parameter path: without a leading slash; missing folders above it are added.
    public mutating func add(file path: String, _ contents: [UInt8], executable: Bool = false) {
        addFolders(above: path)
        entry(path, mode: 0o100000 | (executable ? 0o755 : 0o644), contents)
    }

    public mutating func add(link path: String, to target: String) {
        addFolders(above: path)
        entry(path, mode: 0o120777, Array(target.utf8))
    }

    public mutating func add(folder path: String) {
        addFolders(above: path)
        if folders.insert(path).inserted { entry(path, mode: 0o040755, []) }
    }

    /// The archive with its trailer, a multiple of 512 bytes.
    public func finished() -> [UInt8] {
        var archive = self
        archive.inode = 0
        archive.entry("TRAILER!!!", mode: 0, [])
        return archive.bytes + [UInt8](repeating: 0, count: (512 - archive.bytes.count % 512) % 512)
    }

    private mutating func addFolders(above path: String) {
        var folder = ""
        for part in path.split(separator: "/").dropLast() {
            folder += folder.isEmpty ? String(part) : "/" + part
            if folders.insert(folder).inserted { entry(folder, mode: 0o040755, []) }
        }
    }

    /// Magic, 13 fields of 8 hexadecimal digits, name, contents; name and contents end at multiples of 4.
    private mutating func entry(_ name: String, mode: UInt32, _ contents: [UInt8]) {
        let nameBytes = Array(name.utf8) + [0]
        let links: UInt32 = mode & 0o170000 == 0o040000 ? 2 : 1
        let fields: [UInt32] = [
            inode, mode, 0, 0, links, 0, UInt32(clamping: contents.count), 0, 0, 0, 0, UInt32(clamping: nameBytes.count), 0,
        ]
        bytes += Array("070701".utf8) + fields.flatMap { Array($0.hex.utf8) } + nameBytes
        pad()
        bytes += contents
        pad()
        inode &+= 1
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }
}
