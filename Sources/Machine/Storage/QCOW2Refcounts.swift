/// How often each cluster of a qcow2 file is used: a table of blocks of counts of 1 to 64 bits.
///
/// Changes stay in memory until `write`. New blocks and a longer table go to the end of the file; what is no longer used is not used again
/// while the image is open.
struct QCOW2Refcounts {
    let clusterBits: UInt64
    let order: UInt64
    private(set) var tableOffset: UInt64
    private(set) var tableClusters: UInt64
    private var table: [UInt64] = []
    private var isLoaded = false
    private var blocks: [Int: [UInt8]] = [:]
    private var dirtyBlocks: Set<Int> = []
    private var dirtyEntries: Set<Int> = []
    private var moved = false

    init(_ header: QCOW2Header) {
        (clusterBits, order) = (header.clusterBits, header.refcountOrder)
        (tableOffset, tableClusters) = (header.refcountTableOffset, header.refcountTableClusters)
    }

    private var clusterBytes: Int { 1 << Int(clusterBits) }
    private var blockShift: UInt64 { clusterBits + 3 - order }
    var isDirty: Bool { !dirtyBlocks.isEmpty || !dirtyEntries.isEmpty || moved }
    /// Offsets of the blocks, for a check.
    mutating func blockOffsets(_ file: HostFile) -> [UInt64]? { load(file) ? table : nil }

    private mutating func load(_ file: HostFile) -> Bool {
        if isLoaded { return true }
        var bytes = [UInt8].zeros(Int(tableClusters) * clusterBytes)
        guard bytes.withUnsafeMutableBytes({ file.read(tableOffset, into: $0, padded: true) }) else { return false }
        table = (0..<bytes.count / 8).map { bytes.big($0 * 8, 8) }
        isLoaded = true
        return true
    }

    private func isPlace(_ entry: UInt64, _ length: UInt64) -> Bool {
        entry != 0 && entry % UInt64(clusterBytes) == 0 && entry < length
    }

    private mutating func loadBlock(_ index: Int, _ length: UInt64, _ file: HostFile) -> Bool {
        guard blocks[index] == nil else { return true }
        guard isPlace(table[index], length) else { return false }
        if blocks.count * clusterBytes > 16 << 20 { blocks = blocks.filter { dirtyBlocks.contains($0.key) } }
        var bytes = [UInt8].zeros(clusterBytes)
        guard bytes.withUnsafeMutableBytes({ file.read(table[index], into: $0, padded: true) }) else { return false }
        blocks[index] = bytes
        return true
    }

    /// - Returns: nil when the host failed or the table is damaged; clusters without a block are unused.
    mutating func count(_ cluster: UInt64, length: UInt64, _ file: HostFile) -> UInt64? {
        guard load(file) else { return nil }
        guard let index = Int(exactly: cluster >> blockShift), index < table.count, table[index] != 0 else { return 0 }
        guard loadBlock(index, length, file), let block = blocks[index] else { return nil }
        let at = Int(cluster & (1 << blockShift - 1))
        if order >= 3 { return block.big(at << Int(order - 3), 1 << Int(order - 3)) }
        let bits = 1 << Int(order)
        return UInt64(block[(at * bits) >> 3]) >> UInt64((at * bits) & 7) & (1 << UInt64(bits) - 1)
    }

    /// Counts that do not fit are cut to what does.
    mutating func set(_ cluster: UInt64, _ value: UInt64, _ end: inout GrowingEnd, _ file: HostFile) -> Bool {
        // Blocks and tables that are made on the way count as well.
        var work = [(cluster, value)]
        while let (cluster, value) = work.popLast() {
            guard load(file), let index = Int(exactly: cluster >> blockShift), index < 1 << 20 else { return false }
            if index >= table.count {
                guard let new = grow(to: index, &end, file) else { return false }
                work += new
            }
            if !isPlace(table[index], end.length) {
                guard value != 0 else { continue }
                guard let place = end.take(UInt64(clusterBytes), file) else { return false }
                table[index] = place
                dirtyEntries.insert(index)
                blocks[index] = .zeros(clusterBytes)
                work.append((place >> clusterBits, 1))
            }
            guard loadBlock(index, end.length, file) else { return false }
            let at = Int(cluster & (1 << blockShift - 1))
            let value = min(value, order == 6 ? .max : 1 << (1 << order) - 1)
            if order >= 3 {
                blocks[index]?.putBig(at << Int(order - 3), value, 1 << Int(order - 3))
            } else {
                let bits = 1 << Int(order), shift = UInt8((at * bits) & 7)
                let mask = UInt8(truncatingIfNeeded: (1 << bits - 1) << Int(shift))
                var block = blocks[index] ?? []
                let old: UInt8 = block[(at * bits) >> 3]
                block[(at * bits) >> 3] = (old & ~mask) | ((UInt8(truncatingIfNeeded: value) << shift) & mask)
                blocks[index] = block
            }
            dirtyBlocks.insert(index)
        }
        return true
    }

    mutating func add(_ cluster: UInt64, _ delta: Int, _ end: inout GrowingEnd, _ file: HostFile) -> Bool {
        guard let now = count(cluster, length: end.length, file) else { return false }
        return set(cluster, delta < 0 ? now - min(now, UInt64(-delta)) : now &+ UInt64(delta), &end, file)
    }

    /// Forgets places that cannot be: new blocks are made for them.
    mutating func dropBlocks(where isWrong: (UInt64) -> Bool, _ file: HostFile) -> Bool {
        guard load(file) else { return false }
        for index in table.indices where table[index] != 0 && isWrong(table[index]) {
            table[index] = 0
            blocks[index] = nil
            dirtyEntries.insert(index)
        }
        return true
    }

    /// A longer table at the end of the file.
    /// - Returns: the counts that change by it.
    private mutating func grow(to index: Int, _ end: inout GrowingEnd, _ file: HostFile) -> [(UInt64, UInt64)]? {
        let perCluster = clusterBytes / 8
        let clusters = UInt64((index + 1 + index / 2) / perCluster + 1)
        guard clusters << clusterBits <= 8 << 20, let place = end.take(clusters << clusterBits, file) else { return nil }
        let old = (tableOffset >> clusterBits, tableClusters)
        table += [UInt64](repeating: 0, count: Int(clusters) * perCluster - table.count)
        (tableOffset, tableClusters, moved) = (place, clusters, true)
        return (0..<clusters).map { (place >> clusterBits + $0, 1) } + (0..<old.1).map { (old.0 + $0, 0) }
    }

    /// - Returns: false when the host failed.
    mutating func write(_ file: HostFile) -> Bool {
        for index in dirtyBlocks.sorted() {
            guard let block = blocks[index], file.write(table[index], block) else { return false }
        }
        if moved {
            guard file.write(tableOffset, QCOW2Table.bigEndian(table)), file.flush() else { return false }
            var head = [UInt8].zeros(12)
            head.putBig(0, tableOffset, 8)
            head.putBig(8, tableClusters)
            guard file.write(UInt64(QCOW2Header.Offset.refcountTable), head) else { return false }
        } else {
            for index in dirtyEntries {
                guard file.write(tableOffset + UInt64(index) * 8, QCOW2Table.bigEndian([table[index]])) else { return false }
            }
        }
        (dirtyBlocks, dirtyEntries, moved) = ([], [], false)
        return true
    }
}
