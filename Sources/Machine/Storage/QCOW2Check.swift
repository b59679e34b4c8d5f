/// Reads all tables of a qcow2 image and counts what uses each cluster of the file.
struct QCOW2Check {
    /// More clusters would not fit into memory for counting.
    static let mostClusters: UInt64 = 1 << 26

    /// Uses of each cluster.
    private(set) var uses: [UInt16]
    /// What is wrong with the entries themselves, each a clause; the first ones of many.
    private(set) var problems: [String] = []
    private(set) var problemCount = 0
    private(set) var dataClusters: UInt64 = 0

    /// - Throws: `.damaged` when the file is too large to be counted or the host fails.
    init(_ table: inout QCOW2Table, _ file: HostFile) throws(MediaError) {
        let bits = table.header.clusterBits
        let clusters = table.end.length == 0 ? 0 : (table.end.length - 1) >> bits + 1
        guard clusters <= QCOW2Check.mostClusters else {
            throw .damaged(path: file.path, format: "qcow2", reason: "its file has \(clusters) clusters, too many to count")
        }
        uses = [UInt16](repeating: 0, count: Int(clusters))
        use(0..<1)
        let l1 = table.header.l1Offset >> bits
        use(l1..<l1 + (table.header.l1Size * 8 - 1) >> bits + 1)
        let counts = table.refcounts.tableOffset >> bits
        use(counts..<counts + table.refcounts.tableClusters)
        for offset in table.refcounts.blockOffsets(file) ?? [] where offset != 0 {
            if table.isPlace(offset) { use(offset >> bits..<offset >> bits + 1) } else { note("a block of counts would lie at \(offset)") }
        }
        for index in 0..<table.l1.count { try part(index, &table, file) }
    }

    private mutating func part(_ index: Int, _ table: inout QCOW2Table, _ file: HostFile) throws(MediaError) {
        let offset = table.l1[index] & QCOW2Table.Entry.offset
        guard offset != 0 else { return }
        guard table.isPlace(offset) else { return note("table \(index) would lie at \(offset)") }
        let cluster = Int(offset >> table.header.clusterBits)
        guard uses[cluster] == 0 else { return note("table \(index) lies where something else is, at \(offset)") }
        use(UInt64(cluster)..<UInt64(cluster) + 1)
        guard let part = table.part(index, file) else {
            throw .damaged(path: file.path, format: "qcow2", reason: "its table \(index) cannot be read")
        }
        for (at, entry) in part.entries.enumerated() where entry & (QCOW2Table.Entry.offset | QCOW2Table.Entry.packed) != 0 {
            let clusters = table.clusters(of: entry)
            let isWhole = entry & QCOW2Table.Entry.packed != 0 || table.isPlace(entry & QCOW2Table.Entry.offset)
            guard isWhole, clusters.lowerBound < UInt64(uses.count) else {
                note("cluster \(index << Int(table.partBits) + at) would lie behind the end of the file or between clusters")
                continue
            }
            dataClusters += 1
            if entry & QCOW2Table.Entry.packed == 0, uses[Int(clusters.lowerBound)] > 0 {
                note("cluster \(index << Int(table.partBits) + at) lies where something else is")
            }
            use(clusters.lowerBound..<min(clusters.upperBound, UInt64(uses.count)))
        }
    }

    private mutating func use(_ clusters: Range<UInt64>) {
        for cluster in clusters where cluster < UInt64(uses.count) {
            let (sum, over) = uses[Int(cluster)].addingReportingOverflow(1)
            if !over { uses[Int(cluster)] = sum }
        }
    }

    mutating func note(_ problem: String) {
        problemCount += 1
        if problems.count < 20 { problems.append(problem) }
    }

    /// Number of used clusters from the start of the file to the last one.
    var usedEnd: UInt64 { UInt64((uses.lastIndex { $0 != 0 } ?? 0) + 1) }

    /// Makes the reference counts of an image right that was not closed.
    /// - Throws: when its tables are too damaged for that; the image is unchanged then.
    static func recount(_ table: inout QCOW2Table, _ file: HostFile) throws(MediaError) {
        let check = try QCOW2Check(&table, file)
        guard check.problemCount == 0 else {
            let reason = check.problems.first ?? "its tables are damaged"
            throw .damaged(path: file.path, format: "qcow2", reason: "it was not closed, and \(reason); try 'vitrine disk check --repair'")
        }
        guard check.write(&table, file) else {
            throw .damaged(path: file.path, format: "qcow2", reason: "it was not closed, and its reference counts cannot be written")
        }
    }

    /// The counts become what is used; behind the last used cluster nothing is left.
    func write(_ table: inout QCOW2Table, _ file: HostFile) -> Bool {
        let bits = table.header.clusterBits
        table.end.trim(to: max(usedEnd << bits, 1 << bits), file)
        table.end.next = usedEnd << bits
        let length = table.end.length
        guard table.refcounts.dropBlocks(where: { $0 % (1 << bits) != 0 || $0 >= length }, file) else { return false }
        for cluster in 0..<usedEnd {
            let wanted = UInt64(uses[Int(cluster)])
            guard let found = table.refcounts.count(cluster, length: table.end.length, file) else { return false }
            if found != wanted { guard table.refcounts.set(cluster, wanted, &table.end, file) else { return false } }
        }
        return table.refcounts.write(file) && file.flush() && table.clearDirty(file)
    }
}
