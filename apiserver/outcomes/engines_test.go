package outcomes

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// onEveryEngine are the tests that both engines must pass. They run on SQLite under their own names and on PostgreSQL from
// this table.
var onEveryEngine = map[string]func(*testing.T){
	"TestAnUploadCountsItsBytesItsChunksAndItsRow":                         TestAnUploadCountsItsBytesItsChunksAndItsRow,
	"TestUploadsBelongToTheUIDOfTheirNamespace":                            TestUploadsBelongToTheUIDOfTheirNamespace,
	"TestUploadsWithoutANamespaceUIDAreClaimedOnce":                        TestUploadsWithoutANamespaceUIDAreClaimedOnce,
	"TestTheMigrationCountsExistingRows":                                   TestTheMigrationCountsExistingRows,
	"TestTheRowOfARunIsReadAsWritten":                                      TestTheRowOfARunIsReadAsWritten,
	"TestTheRowOfAWorkerIsReadAsWritten":                                   TestTheRowOfAWorkerIsReadAsWritten,
	"TestOutcomesAreReadAsWrittenInOrder":                                  TestOutcomesAreReadAsWrittenInOrder,
	"TestOutcomesBeforeAnIndexAreReadInPagesOfLimitedSize":                 TestOutcomesBeforeAnIndexAreReadInPagesOfLimitedSize,
	"TestAnyNumberOfOutcomesOfAllKindsIsAdded":                             TestAnyNumberOfOutcomesOfAllKindsIsAdded,
	"TestReadingGoesThroughPagesOfAnySize":                                 TestReadingGoesThroughPagesOfAnySize,
	"TestAFailedTransactionIsRolledBackAndTheOthersOfItsGroupAreCommitted": TestAFailedTransactionIsRolledBackAndTheOthersOfItsGroupAreCommitted,
	"TestACancelledUpdateThatHasNotStartedWritesNothing":                   TestACancelledUpdateThatHasNotStartedWritesNothing,
	"TestAViewCannotWrite":                                                 TestAViewCannotWrite,
	"TestDeleteSomeDeletesOneRunInSteps":                                   TestDeleteSomeDeletesOneRunInSteps,
	"TestReadingReturnsWorkersAndAppliesItsLimitAcrossPages":               TestReadingReturnsWorkersAndAppliesItsLimitAcrossPages,
	"TestResultsAreDeletedInStepsAndOtherColumnsAreKept":                   TestResultsAreDeletedInStepsAndOtherColumnsAreKept,
	"TestParametersAreBoundByNumber":                                       TestParametersAreBoundByNumber,
	"TestEveryAcknowledgedOutcomeSurvivesAKilledServer":                    TestEveryAcknowledgedOutcomeSurvivesAKilledServer,
	"TestAStartupIsRecordedOnceAndNotOverwrittenByTheExchange":             TestAStartupIsRecordedOnceAndNotOverwrittenByTheExchange,
	"TestAWorkerWithoutItsIndexExecutesNothing":                            TestAWorkerWithoutItsIndexExecutesNothing,
	"TestAnUploadIsReadAsWrittenAndDeletedChunkByChunk":                    TestAnUploadIsReadAsWrittenAndDeletedChunkByChunk,
	"TestAnUploadInSeveralCallsIsFoundByItsName":                           TestAnUploadInSeveralCallsIsFoundByItsName,
	"TestLiveOutputIsReadWhileItsInputExecutes":                            TestLiveOutputIsReadWhileItsInputExecutes,
	"TestSelectionsOfOutcomes":                                             TestSelectionsOfOutcomes,
	"TestTextThatAnEngineCannotStoreIsReplaced":                            TestTextThatAnEngineCannotStoreIsReplaced,
	"TestAReaderReadsOneRun":                                               TestAReaderReadsOneRun,
}

func TestOnPostgreSQL(t *testing.T) { postgrestest.RunOnPostgreSQL(t, onEveryEngine) }

// A test that opens a store of any engine must be in the table.
func TestEveryTestOfAStoreRunsOnEveryEngine(t *testing.T) {
	postgrestest.CheckTable(t, onEveryEngine, "newStore")
}

// openedStore is a store of any engine.
type openedStore interface {
	Store
	Close() error
}

// newStore opens an empty store of the engine that the test runs on.
func newStore(t testing.TB) openedStore {
	t.Helper()
	if postgrestest.OnPostgreSQL(t) {
		return newPostgres(t)
	}
	return newSQLite(t)
}

func newPostgres(t testing.TB) *Postgres {
	t.Helper()
	return openPostgres(t, postgrestest.URL(t))
}

func openPostgres(t testing.TB, url string) *Postgres {
	t.Helper()
	store := NewPostgres(func() (string, error) { return url, nil })
	if err := store.Open(ctx); err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

// openAny opens the store at a path or at a URL.
func openAny(t testing.TB, where string) openedStore {
	t.Helper()
	if strings.Contains(where, "://") {
		return openPostgres(t, where)
	}
	return openStore(t, where)
}

func wordsOf(store Store, sqlite, postgres string) string {
	if _, ok := store.(*Postgres); ok {
		return postgres
	}
	return sqlite
}

// waitingUpdates returns the number of updates that wait behind the running one.
func waitingUpdates(store Store) int {
	switch s := store.(type) {
	case *SQLite:
		return len(s.writer.requests)
	case *Postgres:
		s.mu.Lock()
		defer s.mu.Unlock()
		if l, ok := s.queues[""]; ok {
			return len(l.waiting)
		}
	}
	return 0
}

func TestTextThatAnEngineCannotStoreIsReplaced(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	worker := &Worker{RunID: run.ID, PodUID: "pod", Device: "GPU\x00-0", State: WorkerLive, Executing: -1}
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	write(t, store, func(tx *Tx) error {
		_, err := tx.SetStartup("uid", "pod", "A\x00100", "a line\xff\x00\nanother")
		return err
	})
	var got *Worker
	if err := store.View(ctx, func(tx *Tx) (err error) {
		got, err = tx.Worker(run.ID, types.UID("pod"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got.Device != "GPU-0" || got.GPUProduct != "A100" || got.StartupLog != "a line\uFFFD\nanother" {
		t.Errorf("the texts are %q, %q, %q", got.Device, got.GPUProduct, got.StartupLog)
	}
}
