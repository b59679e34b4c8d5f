import Glibc
import Hardware

/// What a check of an image has found.
public struct DiskCheck: Sendable, Encodable {
    public var path: String
    public var format: String
    /// Data may be lost or wrong, each a clause; the first of many.
    public var errors: [String] = []
    public var errorCount = 0
    /// Room that nothing uses.
    public var leakedBytes: UInt64 = 0
    public var repaired = 0

    public var isSound: Bool { errorCount == 0 }

    private mutating func note(_ error: String) {
        errorCount += 1
        if errors.count < 20 { errors.append(error) }
    }

    /// Looks at an image, not at what it stands on.
    /// - Parameter repair: what can be made right is.
    /// - Throws: `.badInput` when the file cannot be opened.
    public static func run(_ path: String, repair: Bool = false) throws(MachineError) -> DiskCheck {
        let file: HostFile
        do {
            file = try HostFile(path: path, writable: repair)
        } catch {
            throw .badInput(error.description)
        }
        var check = DiskCheck(path: path, format: DiskImage.foreignFormat(file) ?? "raw")
        do throws(ImageProblem) {
            switch check.format {
            case "VDI": try check.vdi(file, repair)
            case "qcow2": try check.qcow2(file, repair)
            case "VHD": try check.vhd(file, repair)
            case "VMDK": try check.vmdk(file, repair)
            default: break
            }
        } catch {
            switch error {
            case .damaged(let reason): check.note(reason)
            case .noSnapshot: break
            case .notSupported(let what): throw .badInput("\(path) is a \(what) image, and that format is not supported.")
            }
        }
        guard !repair || file.flush() else { throw .failed("'\(path)' cannot be written: \(WholeFile.reason()).") }
        return check
    }

    // MARK: VDI

    private mutating func vdi(_ file: HostFile, _ repair: Bool) throws(ImageProblem) {
        let header = try VDIHeader(file.peek(0, count: VDIHeader.bytes), fileBytes: file.bytes)
        let map = file.peek(header.mapOffset, count: Int(header.blocks) * 4)
        var used = [Bool](repeating: false, count: Int(header.blocks))
        var (count, last): (UInt64, UInt64) = (0, 0)
        for block in 0..<Int(header.blocks) {
            let entry = map.little(block * 4)
            guard entry != UInt64(VDIHeader.unallocated), entry != UInt64(VDIHeader.zero) else { continue }
            let isLost = entry >= header.blocks || header.dataOffset + entry * header.stride >= file.bytes
            if isLost || used[Int(entry)] {
                note(isLost ? "block \(block) would lie behind the end of the file" : "block \(block) lies where another one is")
                // What lies nowhere is lost; of two at one place the first one keeps it.
                if repair, file.write(header.mapOffset + UInt64(block) * 4, [0xFF, 0xFF, 0xFF, 0xFF]) { repaired += 1 }
                continue
            }
            used[Int(entry)] = true
            count += 1
            last = max(last, entry + 1)
        }
        if header.allocated < last {
            note("it says that \(header.allocated) blocks are used, and there are \(last)")
            var number = [UInt8].zeros(4)
            number.putLittle(0, last)
            if repair, file.write(VDIHeader.allocatedOffset, number) { repaired += 1 }
        }
        leakedBytes = (max(header.allocated, last) - count) * header.stride
    }

    // MARK: qcow2

    private mutating func qcow2(_ file: HostFile, _ repair: Bool) throws(ImageProblem) {
        var table = try QCOW2Table(file)
        guard table.header.snapshots == 0 else { throw .notSupported("qcow2 with snapshots of its own inside, which is not checked") }
        func count(_ table: inout QCOW2Table) throws(ImageProblem) -> QCOW2Check {
            do {
                return try QCOW2Check(&table, file)
            } catch {
                throw .damaged("it cannot be counted")
            }
        }
        var found = try count(&table)
        found.problems.forEach { note($0) }
        errorCount = max(errorCount, found.problemCount)
        if repair, found.problemCount > 0 {
            let cleared = table.clearImpossible(file)
            repaired += cleared
            if cleared > 0 {
                table = try QCOW2Table(file)
                found = try count(&table)
            }
        }
        let bits = table.header.clusterBits
        var wrong = 0
        for (cluster, uses) in found.uses.enumerated() {
            guard let counted = table.refcounts.count(UInt64(cluster), length: table.end.length, file) else {
                note("the count of cluster \(cluster) cannot be read")
                wrong += 1
                if wrong > 1000 { break }
                continue
            }
            if counted < UInt64(uses) {
                wrong += 1
                // An image that is marked as not closed has counts that nobody relies on.
                if !table.header.isDirty { note("cluster \(cluster) is used \(uses) times and counted \(counted) times") }
            } else if counted > UInt64(uses) {
                wrong += 1
                leakedBytes += 1 << bits
            }
        }
        let flags = table.wrongFlags(found.uses, file, repair: repair)
        if flags > 0 { note("\(flags) entries say wrongly whether they are the only ones") }
        guard repair, found.problemCount == 0, wrong > 0 || table.header.isDirty || table.header.isCorrupt || flags > 0 else { return }
        guard found.write(&table, file), table.clearMarks(file) else { return note("its counts cannot be written") }
        repaired += max(1, wrong + flags)
        leakedBytes = 0
    }

    // MARK: VHD

    private mutating func vhd(_ file: HostFile, _ repair: Bool) throws(ImageProblem) {
        let header = try VHDHeader(file)
        let last = file.peek(file.bytes - min(512, file.bytes), count: 512)
        guard header.kind != .fixed else { return }
        for (place, footer) in [(0, file.peek(0, count: 512)), (file.bytes - 512, last)] where footer != header.footer {
            note("its footer at \(place) is missing or not the other one")
            let target = place == 0 ? 0 : (file.bytes + 511) / 512 * 512
            if repair, file.write(target, header.footer) { repaired += 1 }
        }
        let table = file.peek(header.tableOffset, count: Int(header.entries) * 4)
        var places: [(place: UInt64, block: Int)] = []
        for block in 0..<Int(header.entries) {
            let entry = table.big(block * 4)
            guard entry != UInt64(VHDHeader.unused) else { continue }
            let isLost = entry == 0 || entry * 512 + header.bitmapBytes >= file.bytes
            if isLost {
                note("block \(block) would lie behind the end of the file")
                if repair, file.write(header.tableOffset + UInt64(block) * 4, [0xFF, 0xFF, 0xFF, 0xFF]) { repaired += 1 }
            } else {
                places.append((entry * 512, block))
            }
        }
        places.sort { $0.place < $1.place }
        for (one, next) in zip(places, places.dropFirst()) where next.place < one.place + header.bitmapBytes + header.blockBytes {
            note("blocks \(one.block) and \(next.block) lie at the same place")
        }
    }

    // MARK: VMDK

    private mutating func vmdk(_ file: HostFile, _ repair: Bool) throws(ImageProblem) {
        let parts = try VMDKParts(file)
        guard var table = parts.table else { return }
        guard !table.isCompressed else { return }
        let (lost, shared, stale) = table.check(file, repair: repair)
        for block in lost.prefix(20) { note("grain \(block) would lie behind the end of the file") }
        for block in shared.prefix(20) { note("grain \(block) lies where another one is") }
        if stale > 0 { note("\(stale) entries of the second tables are not those of the first ones") }
        errorCount = lost.count + shared.count + stale
        if repair { repaired = lost.count + stale }
    }
}

extension QCOW2Table {
    /// Clears entries that point nowhere.
    mutating func clearImpossible(_ file: HostFile) -> Int {
        var cleared = 0
        for index in l1.indices where l1[index] & Entry.offset != 0 {
            guard isPlace(l1[index] & Entry.offset) else {
                if file.write(header.l1Offset + UInt64(index) * 8, .zeros(8)) { cleared += 1 }
                continue
            }
            guard let part = part(index, file) else { continue }
            for (at, entry) in part.entries.enumerated() where entry & (Entry.offset | Entry.packed) != 0 {
                let (offset, _) = packedPlace(entry)
                let isThere = entry & Entry.packed != 0 ? offset < end.length : isPlace(entry & Entry.offset)
                if !isThere, file.write(part.offset + UInt64(at) * 8, .zeros(8)) { cleared += 1 }
            }
        }
        return cleared
    }

    /// Entries whose mark "used once" is not what was counted.
    mutating func wrongFlags(_ uses: [UInt16], _ file: HostFile, repair: Bool) -> Int {
        var wrong = 0
        func isOnly(_ offset: UInt64) -> Bool {
            let cluster = Int(truncatingIfNeeded: offset >> header.clusterBits)
            return cluster < uses.count && uses[cluster] == 1
        }
        for index in l1.indices where l1[index] & Entry.offset != 0 {
            let entry = l1[index]
            if isPlace(entry & Entry.offset), (entry & Entry.copied != 0) != isOnly(entry & Entry.offset) {
                wrong += 1
                if repair { _ = file.write(header.l1Offset + UInt64(index) * 8, QCOW2Table.bigEndian([entry ^ Entry.copied])) }
            }
            guard let part = part(index, file) else { continue }
            for (at, entry) in part.entries.enumerated() where entry & Entry.packed == 0 && isPlace(entry & Entry.offset) {
                guard (entry & Entry.copied != 0) != isOnly(entry & Entry.offset) else { continue }
                wrong += 1
                if repair { _ = file.write(part.offset + UInt64(at) * 8, QCOW2Table.bigEndian([entry ^ Entry.copied])) }
            }
        }
        return wrong
    }
}

extension VMDKTable {
    /// Grains that lie nowhere or at another one's place, and entries of the second tables that differ.
    mutating func check(_ file: HostFile, repair: Bool) -> (lost: [UInt64], shared: [UInt64], stale: Int) {
        var lost: [UInt64] = [], shared: [UInt64] = [], stale = 0
        var places: Set<UInt32> = []
        for index in directories[0].indices where directories[0][index] != 0 {
            guard let first = readTable(UInt64(directories[0][index]) * 512, file) else {
                lost.append(UInt64(index) * perTable)
                continue
            }
            var entries = first
            for (at, entry) in first.enumerated() where entry > 1 {
                let block = UInt64(index) * perTable + UInt64(at)
                if UInt64(entry) * 512 >= length {
                    lost.append(block)
                    entries[at] = 0
                } else if !places.insert(entry).inserted {
                    shared.append(block)
                }
            }
            if repair, entries != first { _ = writeTable(UInt64(directories[0][index]) * 512, entries, file) }
            guard directories.count > 1, directories[1][index] != 0, let second = readTable(UInt64(directories[1][index]) * 512, file) else { continue }
            let different = zip(first, second).filter { $0 != $1 }.count
            stale += different
            if repair, second != entries { _ = writeTable(UInt64(directories[1][index]) * 512, entries, file) }
        }
        return (lost, shared, stale)
    }

    private func readTable(_ place: UInt64, _ file: HostFile) -> [UInt32]? {
        guard place > 0, place < length else { return nil }
        var bytes = [UInt8].zeros(Int(perTable) * 4)
        guard bytes.withUnsafeMutableBytes({ file.read(place, into: $0, padded: true) }) else { return nil }
        return (0..<Int(perTable)).map { UInt32(truncatingIfNeeded: bytes.little($0 * 4)) }
    }

    private func writeTable(_ place: UInt64, _ entries: [UInt32], _ file: HostFile) -> Bool {
        entries.map(\.littleEndian).withUnsafeBytes { file.write(place, from: $0) }
    }
}
